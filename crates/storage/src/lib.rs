//! PostgreSQL for payrelay's services: pool, migrations, micro-batching, partitions, leadership.
