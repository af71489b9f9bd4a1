//! Payment channels: verifies and parses their callbacks. Pure: bytes, keys and clock in, fact out.
