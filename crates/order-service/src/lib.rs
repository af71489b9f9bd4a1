//! The order service: marks orders paid by the events of pay orders.
