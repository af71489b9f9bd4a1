//! Follows the links between pages and to files. Addresses of other servers are not called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::page::{Link, Page};
use crate::words::Finding;

/// Beside the files of a repository, GitHub shows these under its address.
const BESIDE_THE_FILES: [&str; 5] = ["actions", "discussions", "issues", "releases", "security"];

/// The links that lead nowhere. `files` are all files of the workspace.
pub(super) fn check(pages: &[Page], files: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let by_path: BTreeMap<_, _> = pages.iter().map(|page| (page.path.as_path(), page)).collect();
    let folders: BTreeSet<_> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    let places = Places { pages: by_path, files, folders };
    let links = pages.iter().flat_map(|page| page.links.iter().map(move |link| (page, link)));
    let dead = links.filter_map(|(page, Link { line, target })| {
        let why = places.follow(page, target).err()?;
        Some(Finding { path: page.path.clone(), line: *line, what: format!("dead link {target}: {why}") })
    });
    dead.collect()
}

struct Places<'a> {
    pages: BTreeMap<&'a Path, &'a Page>,
    files: &'a BTreeSet<PathBuf>,
    folders: BTreeSet<&'a Path>,
}

impl Places<'_> {
    /// Why the link of this page leads nowhere.
    fn follow(&self, page: &Page, target: &str) -> Result<(), &'static str> {
        if is_elsewhere(target) {
            return Ok(());
        }
        let (path, anchor) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        if path.starts_with('/') {
            return Err("links are relative");
        }
        let folder = page.path.parent().unwrap_or(Path::new(""));
        let place = if path.is_empty() { page.path.clone() } else { self.place(folder, path)? };
        let Some(anchor) = anchor else { return Ok(()) };
        // GitHub shows the README of a folder.
        let shown =
            self.pages.get(place.as_path()).or_else(|| self.pages.get(place.join("README.md").as_path()));
        match shown {
            Some(shown) if shown.anchors.contains(anchor) => Ok(()),
            Some(_) => Err("the page has no such heading"),
            // A line of a source file.
            None if anchor.starts_with('L') => Ok(()),
            None => Err("only pages have headings"),
        }
    }

    /// The file or folder that a relative path names; outside the workspace, nothing is to be looked up.
    fn place(&self, folder: &Path, path: &str) -> Result<PathBuf, &'static str> {
        let mut place = PathBuf::new();
        for component in folder.join(path).components() {
            match component {
                Component::Normal(name) => place.push(name),
                Component::ParentDir if !place.pop() => return outside(path),
                _ => {}
            }
        }
        let is_there = self.files.contains(&place) || self.folders.contains(place.as_path());
        if is_there { Ok(place) } else { Err("no such file") }
    }
}

/// A path that leaves the workspace: it may lead to what GitHub shows beside the files.
fn outside(path: &str) -> Result<PathBuf, &'static str> {
    let beside = path.trim_start_matches("../").split('/').next().unwrap_or_default();
    if BESIDE_THE_FILES.contains(&beside) { Ok(PathBuf::new()) } else { Err("outside the repository") }
}

/// Whether the target begins with a scheme, as `https:` or `mailto:`.
fn is_elsewhere(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '#', '.']))
}
