//! The Rust of `proto/` is checked in, so that no build waits for its compilers.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

use super::workspace::{read, root};

const SCHEMA: &str = "pay/v1/pay_event.proto";
const FOLDER: &str = "crates/events/src/codec/generated";
const FILES: [&str; 2] = ["pay.v1.rs", "pay.v1.serde.rs"];
/// Writes what differs instead of failing.
const WRITE: &str = "PAYRELAY_TEST_WRITE_GENERATED";

#[test]
fn the_generated_code_is_current() {
    let folder = tempfile::tempdir().expect("a folder");
    generate(folder.path()).unwrap_or_else(|error| panic!("{SCHEMA}: {error}"));
    let generated: Vec<_> = files_in(folder.path());
    assert_eq!(generated, FILES, "other files are generated than are included");
    assert_eq!(files_in(&root().join(FOLDER)), FILES, "other files are checked in than are generated");
    for name in FILES {
        let (path, current) = (format!("{FOLDER}/{name}"), read(folder.path().join(name)));
        if env::var_os(WRITE).is_some() {
            fs::write(root().join(&path), &current).expect("the file can be written");
        }
        assert!(
            read(&path) == current,
            "{path} is not what the compilers make of proto/{SCHEMA}: run `cargo xtask generate`"
        );
    }
}

/// prost for protobuf, pbjson for proto3 JSON, protox in place of an installed `protoc`.
fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile([SCHEMA], [root().join("proto")])?;
    let encoded = descriptors.encode_to_vec();
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf.Timestamp", "crate::codec::timestamp::Timestamp")
        .out_dir(folder)
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        // As protobuf does: a later release, or another publisher, may say more.
        .ignore_unknown_fields()
        .out_dir(folder)
        .build(&[".pay.v1"])?;
    Ok(())
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
