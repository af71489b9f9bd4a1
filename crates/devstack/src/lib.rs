//! Private PostgreSQL and RabbitMQ servers for dev, demo and tests. Standard library only.
