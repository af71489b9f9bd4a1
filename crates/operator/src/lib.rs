//! The payrelay command: dev, demo, merchants, trace, audit.
