//! RabbitMQ for payrelay's services: connection, topology, publisher, consumer runtime.
