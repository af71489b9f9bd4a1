//! Black-box scenarios and fault tests with the real binaries, and the test of the architecture: one program, so that
//! it is linked once.

mod architecture;
