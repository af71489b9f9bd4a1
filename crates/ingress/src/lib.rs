//! The ingress: takes pay orders and channel callbacks, persists them, then tells the world.
