//! `--against REV`: the programs of another revision beside those of this tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use super::release::{Release, output};
use super::{BENCH, PROGRAMS};
use crate::{cargo, step};

/// Builds both and becomes the bench that compares them, which is this tree's.
pub(super) fn run(revision: &str, arguments: &[String]) -> Result<ExitCode> {
    let repository = Path::new(".");
    let commit = commit(repository, revision)?;
    let new = Release::of(repository)?;
    let folder = new.target_directory()?.join("bench-against");
    let tree = worktree(repository, &folder, &commit)?;

    step(&format!("building the programs of {revision} for release, in {}", tree.display()));
    let old = Release::of(&tree)?.sharing_target(&new)?;
    let old_programs = copied(&old.build(&PROGRAMS)?, &folder.join("programs").join(&commit))?;
    step("building the programs of this tree for release");
    // Without the bench, which need not be in the old tree: its dependencies could turn on features of those of the services.
    let new_programs = copied(&new.build(&PROGRAMS)?, &folder.join("programs").join("this"))?;
    let bench = new.build(&[BENCH])?;

    step("starting the bench");
    let mut options = vec!["compare".to_owned(), "--against".to_owned(), revision.to_owned()];
    for (option, folder) in [("--against-programs", old_programs), ("--programs", new_programs)] {
        let folder = folder.into_os_string().into_string();
        options.extend([option.to_owned(), folder.ok().context("a path that is not UTF-8")?]);
    }
    let programs = bench[0].parent().context("a program without a folder")?;
    cargo::become_in(programs, "bench", &[&options, arguments].concat())
}

/// The commit that a revision names.
fn commit(repository: &Path, revision: &str) -> Result<String> {
    let commit = format!("{revision}^{{commit}}");
    git(repository, &["rev-parse", "--verify", "--end-of-options", &commit])
        .with_context(|| format!("{revision} is no commit of this repository"))
}

/// A worktree of the commit; one that is there is taken again.
fn worktree(repository: &Path, folder: &Path, commit: &str) -> Result<PathBuf> {
    let tree = folder.join(commit);
    if !tree.exists() {
        let path = tree.to_str().context("a path that is not UTF-8")?;
        // Git may still know of one that was removed together with the target directory.
        git(repository, &["worktree", "add", "--quiet", "--force", "--detach", path, commit])?;
    }
    // Of a folder that is no worktree git would tell of this repository, in which it lies.
    let top = git(&tree, &["rev-parse", "--show-toplevel"])?;
    let is_whole = fs::canonicalize(top)? == fs::canonicalize(&tree)?
        && git(&tree, &["rev-parse", "HEAD"])? == commit
        && git(&tree, &["status", "--porcelain"])?.is_empty();
    ensure!(
        is_whole,
        "{} is not {commit} as it was committed; remove it, then run this again",
        tree.display()
    );
    Ok(tree)
}

/// What git says in that folder.
fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let said = output(Command::new("git").arg("-C").arg(folder).args(arguments))?;
    Ok(String::from_utf8(said).context("git")?.trim().to_owned())
}

/// Copies programs into a folder, where no other build replaces them.
fn copied(programs: &[PathBuf], folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for program in programs {
        let copy = folder.join(program.file_name().context("a program without a name")?);
        // One that still runs cannot be written over, but removed.
        match fs::remove_file(&copy) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| copy.display().to_string());
            }
            _ => {}
        }
        fs::copy(program, &copy).with_context(|| copy.display().to_string())?;
    }
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A repository of two commits, the first one of which has the tag `v1`.
    fn repository() -> TempDir {
        let repository = TempDir::new().unwrap();
        let git = |arguments: &[&str]| git(repository.path(), arguments).unwrap();
        git(&["init", "--quiet"]);
        for text in ["old", "new"] {
            fs::write(repository.path().join("file"), text).unwrap();
            git(&["add", "file"]);
            let author =
                ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
            git(&[&author[..], &["commit", "--quiet", "--message", text]].concat());
            if text == "old" {
                git(&["tag", "v1"]);
            }
        }
        repository
    }

    #[test]
    fn only_a_commit_is_a_revision() {
        let repository = repository();
        let commit = |revision: &str| commit(repository.path(), revision);
        assert_eq!(commit("v1").unwrap(), commit("HEAD~1").unwrap());
        assert!(commit("no-such-revision").is_err());
        assert!(commit("--all").is_err());
    }

    #[test]
    fn a_worktree_holds_the_old_tree_and_is_taken_again() {
        let repository = repository();
        let commit = commit(repository.path(), "v1").unwrap();
        let worktree = || worktree(repository.path(), &repository.path().join("target"), &commit);
        let tree = worktree().unwrap();
        assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), "old");
        assert_eq!(worktree().unwrap(), tree);
        fs::remove_dir_all(&tree).unwrap();
        assert_eq!(worktree().unwrap(), tree);
    }

    #[test]
    fn a_worktree_that_was_changed_is_refused_and_so_is_any_other_folder() {
        let repository = repository();
        let commit = commit(repository.path(), "v1").unwrap();
        let folder = repository.path().join("target");
        let tree = worktree(repository.path(), &folder, &commit).unwrap();
        fs::write(tree.join("file"), "changed").unwrap();
        assert!(worktree(repository.path(), &folder, &commit).is_err());
        fs::remove_dir_all(&tree).unwrap();
        fs::create_dir(&tree).unwrap();
        assert!(worktree(repository.path(), &folder, &commit).is_err());
    }

    #[test]
    fn a_copy_takes_the_place_of_an_older_one() {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("ingress");
        for text in ["old", "new"] {
            fs::write(&program, text).unwrap();
            let copies = copied(std::slice::from_ref(&program), &folder.path().join("copies")).unwrap();
            assert_eq!(fs::read_to_string(copies.join("ingress")).unwrap(), text);
        }
    }
}
