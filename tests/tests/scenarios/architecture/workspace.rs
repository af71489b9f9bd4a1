//! The workspace as Cargo knows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{Metadata, MetadataCommand, Package};

pub(crate) static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    // For one platform, so that the picture is the same on every machine.
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned);
    MetadataCommand::new().other_options(options).exec().expect("cargo metadata")
});

pub(crate) fn root() -> &'static Path {
    METADATA.workspace_root.as_std_path()
}

pub(crate) fn members() -> impl Iterator<Item = &'static Package> {
    METADATA.workspace_packages().into_iter()
}

pub(crate) fn member(name: &str) -> &'static Package {
    members().find(|package| package.name.as_str() == name).unwrap_or_else(|| panic!("no crate {name}"))
}

pub(crate) fn folder_of(package: &Package) -> PathBuf {
    package.manifest_path.parent().expect("a manifest lies in a folder").as_std_path().to_owned()
}

/// All files in a folder and in those below it; none if it does not exist.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files in the `src` of a crate.
pub(crate) fn sources() -> Vec<PathBuf> {
    members().flat_map(|package| files(&folder_of(package).join("src"))).collect()
}
