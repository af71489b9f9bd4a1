//! The shell of a service: typed configuration, telemetry, health, admin listener, shutdown.
