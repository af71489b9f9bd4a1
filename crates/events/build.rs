//! Compiles `proto/pay/v1` into Rust: prost for protobuf, pbjson for proto3 JSON. Needs no protoc.

use std::{env, error::Error, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let descriptors = protox::compile(["pay/v1/pay_event.proto"], [&root])?;
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors.clone())?;
    pbjson_build::Builder::new().register_descriptors(&descriptors.encode_to_vec())?.build(&[".pay.v1"])?;
    Ok(())
}
