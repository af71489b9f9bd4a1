//! Programs in Java and Go, compiled with Debian's packages of their libraries, for tests that run them.
//!
//! They are compiled once, into a folder of the target directory. Where a compiler or a library is missing, a test is skipped, and says
//! so on the terminal. Source that does not compile fails the test.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::skip::skip;
use super::tools::{finish, folder};

/// What the packages bring.
const JARS: &str = "/usr/share/java";
const GO_LIBRARIES: &str = "/usr/share/gocode";
/// Lists the Debian packages, one a line, beside the source.
const PACKAGES: &str = "packages.txt";

/// Programs of one folder, compiled.
#[derive(Debug)]
pub struct Compiled {
    folder: PathBuf,
    /// For Java.
    class_path: Option<String>,
}

/// The classes of a folder of Java source that needs these libraries, such as `amqp-client`; `None` after a message that the test is
/// skipped, and why.
///
/// # Panics
/// When they do not compile; with `CI=true`, where a library or Java is missing.
pub fn java(sources: &Path, libraries: &[&str]) -> Option<Compiled> {
    let jars: Vec<_> =
        libraries.iter().map(|library| Path::new(JARS).join(format!("{library}.jar"))).collect();
    require(sources, &[&["javac", "-version"], &["java", "-version"]], &jars)?;
    let mut class_path: Vec<_> = jars.iter().map(|jar| jar.display().to_string()).collect();
    let folder = compiled("java", &[sources], |folder| {
        let mut javac = Command::new("javac");
        javac.args(["-Xlint:all", "-Werror", "-encoding", "UTF-8", "-cp", &class_path.join(":"), "-d"]);
        finish(javac.arg(folder).args(of_kind(sources, "java")), folder)
    });
    class_path.push(folder.display().to_string());
    Some(Compiled { class_path: Some(class_path.join(":")), folder })
}

/// The programs of a folder of Go source, one a file, that need these libraries and the classes of this schema; `None` after a message
/// that the test is skipped, and why.
///
/// # Panics
/// When they do not compile; with `CI=true`, where a library, Go or the compiler of schemas is missing.
pub fn go(sources: &Path, libraries: &[&str], schemas: &Path, schema: &str) -> Option<Compiled> {
    let libraries: Vec<_> =
        libraries.iter().map(|library| Path::new(GO_LIBRARIES).join("src").join(library)).collect();
    require(
        sources,
        &[&["go", "version"], &["protoc", "--version"], &["protoc-gen-go", "--version"]],
        &libraries,
    )?;
    let parent = Path::new(schema).parent().unwrap_or(Path::new(""));
    let folder = compiled("go", &[sources, &schemas.join(parent)], |folder| {
        let classes = folder.join("src");
        fs::create_dir(&classes).map_err(|error| error.to_string())?;
        let mut protoc = Command::new("protoc");
        protoc.arg("-I").arg(schemas).arg("--go_out").arg(&classes);
        protoc.arg(format!("--go_opt=M{schema}={}", parent.display())).arg(schema);
        finish(&mut protoc, folder)?;
        for source in of_kind(sources, "go") {
            let mut build = Command::new("go");
            build.args(["build", "-o"]).arg(folder.join(source.file_stem().unwrap_or_default())).arg(&source);
            // Without modules nothing is fetched.
            build.env("GO111MODULE", "off").env("GOPATH", format!("{}:{GO_LIBRARIES}", folder.display()));
            finish(build.env("GOCACHE", folder.with_file_name("go-cache")), folder)?;
        }
        Ok(())
    });
    Some(Compiled { folder, class_path: None })
}

impl Compiled {
    /// A command that runs the program of this name: that of the class, or of the source file without its ending.
    pub fn program(&self, name: &str) -> Command {
        let Some(class_path) = &self.class_path else { return Command::new(self.folder.join(name)) };
        let mut java = Command::new("java");
        java.args(["-cp", class_path, name]);
        java
    }
}

/// `None` after a message, unless all tools and libraries are there.
fn require(sources: &Path, tools: &[&[&str]], libraries: &[PathBuf]) -> Option<()> {
    let runs = |tool: &[&str]| {
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let tools = tools.iter().filter(|tool| !runs(tool)).map(|tool| tool[0].to_owned());
    let libraries = libraries.iter().filter(|library| !library.exists());
    let missing: Vec<_> = tools.chain(libraries.map(|library| library.display().to_string())).collect();
    if missing.is_empty() {
        return Some(());
    }
    skip(&format!("{} missing; install {}", missing.join(", "), sources.join(PACKAGES).display()));
    None
}

/// The folder of what was compiled from these folders.
fn compiled(language: &str, sources: &[&Path], compile: impl FnOnce(&Path) -> Result<(), String>) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for file in sources.iter().flat_map(|folder| files(folder)) {
        let content = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, content).hash(&mut hasher);
    }
    let name = format!("{language}-{:016x}", hasher.finish());
    folder(&name, compile).unwrap_or_else(|error| panic!("{}: {error}", sources[0].display()))
}

fn of_kind(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = files(folder);
    files.retain(|file| file.extension().is_some_and(|is| is == extension));
    files
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of a folder").path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    files
}
