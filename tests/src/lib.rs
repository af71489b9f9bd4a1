//! Black-box scenarios and fault tests with the real binaries.
