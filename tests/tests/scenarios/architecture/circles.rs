//! No two files need each other, unless one is a part of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Item, ItemMod, UseTree};

use super::workspace::{files, folder_of, members, read};

/// The path of a module, from the root of its crate, which is empty.
type Module = Vec<String>;

/// The modules of a crate that are files, each with its source.
type Files = BTreeMap<Module, String>;

/// No re-export leads through more others.
const MAX_REEXPORTS: usize = 8;

#[test]
fn no_two_files_need_each_other() {
    let mut found = Vec::new();
    for package in members() {
        let folder = folder_of(package).join("src");
        let sources =
            files(&folder).into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
        let modules: Files = sources
            .filter_map(|file| Some((module_of(file.strip_prefix(&folder).ok()?)?, read(&file))))
            .collect();
        assert!(!modules.is_empty(), "{} has no source", package.name);
        for circle in circles(&modules) {
            let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
            found.push(format!("{}: {}", package.name, names.join(", ")));
        }
    }
    assert_eq!(found, Vec::<String>::new(), "move what they share into a file of its own");
}

#[test]
fn a_circle_is_found_through_reexports_and_a_part_may_need_its_whole() {
    let crate_of = |sources: &[(&str, &str)]| -> Files {
        let module =
            |path: &str| path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        sources.iter().map(|(path, source)| (module(path), (*source).to_owned())).collect()
    };
    let through_the_root = crate_of(&[
        ("", "mod a; mod b; pub use a::A;"),
        ("a", "use crate::b::B; pub struct A(B);"),
        ("b", "pub struct B; fn f() -> crate::A { loop {} }"),
    ]);
    assert_eq!(circles(&through_the_root).len(), 1);
    let part_and_whole = crate_of(&[
        ("", "mod a; mod c;"),
        ("a", "mod b; use b::B; pub struct A(B);"),
        ("a::b", "use super::A; use crate::c::C; pub struct B(Box<A>, C);"),
        ("c", "pub struct C;"),
    ]);
    assert_eq!(circles(&part_and_whole), []);
}

/// The module that a file is; none for tests and for programs, which nothing can need.
fn module_of(file: &Path) -> Option<Module> {
    let path = file.with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match module.last()?.as_str() {
        "main" | "tests" => return None,
        "lib" if module.len() == 1 => module.clear(),
        _ => {}
    }
    Some(module)
}

/// Groups of files that need one another, directly or by way of others. That a file needs the one that it is a part of is no
/// circle: parent and child are one thing in two files.
fn circles(files: &Files) -> Vec<BTreeSet<Module>> {
    let parsed: BTreeMap<&Module, Parsed> =
        files.iter().map(|(module, source)| (module, Parsed::new(module, source))).collect();
    let needs: BTreeMap<&Module, BTreeSet<&Module>> = parsed
        .iter()
        .map(|(&module, file)| {
            let found = file.paths.iter().filter_map(|path| resolve(&parsed, path, 0));
            (module, found.filter(|found| !module.starts_with(found)).collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        needs.keys().map(|&module| (module, reached_from(module, &needs))).collect();
    let mut circles: Vec<BTreeSet<Module>> = Vec::new();
    for (&module, others) in &reached {
        if others.contains(module) && !circles.iter().any(|circle| circle.contains(module)) {
            let circle = others.iter().filter(|&other| reached[other].contains(module));
            circles.push(circle.map(|&other| other.clone()).collect());
        }
    }
    circles
}

fn reached_from<'a>(
    start: &Module,
    needs: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = needs[start].iter().copied().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(&needs[module]);
        }
    }
    reached
}

/// The file in which the last name of a path stands: through re-exports, to where it is defined.
fn resolve<'a>(files: &BTreeMap<&'a Module, Parsed>, path: &[String], depth: usize) -> Option<&'a Module> {
    let (&module, file) =
        (0..=path.len()).rev().find_map(|end| files.get_key_value(&path[..end].to_vec()))?;
    let rest = &path[module.len()..];
    let (Some(name), true) = (rest.first(), depth < MAX_REEXPORTS) else { return Some(module) };
    match file.names.get(name) {
        Some(target) if target.as_slice() != path => {
            let target: Vec<String> = target.iter().chain(&rest[1..]).cloned().collect();
            resolve(files, &target, depth + 1)
        }
        _ => Some(module),
    }
}

/// What one file names of its crate, by paths from the root.
#[derive(Default)]
struct Parsed {
    paths: Vec<Vec<String>>,
    /// What `use` brings in, by the name that it has here.
    names: BTreeMap<String, Vec<String>>,
    /// The module that is being read: that of the file, or one within it.
    at: Module,
    of_file: Module,
}

impl Parsed {
    fn new(module: &Module, source: &str) -> Self {
        let file = syn::parse_file(source).unwrap_or_else(|error| panic!("{module:?}: {error}"));
        let mut parsed = Self { at: module.clone(), of_file: module.clone(), ..Self::default() };
        parsed.visit_file(&file);
        parsed
    }

    /// A path as from the root, if it leads into this crate by `crate`, `self` or `super`.
    fn rooted(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base = self.at.clone();
        let mut names = path.iter().peekable();
        match names.next()?.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while names.next_if(|name| *name == "super").is_some() {
                    base.pop();
                }
            }
            _ => return None,
        }
        Some(base.into_iter().chain(names.cloned()).collect())
    }

    fn take_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.take_use(&path.tree, &with(path.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_use(tree, before)),
            UseTree::Name(name) if name.ident == "self" => self.take_name(before.to_vec(), None),
            UseTree::Name(name) => self.take_name(with(name.ident.to_string()), None),
            UseTree::Rename(rename) => {
                self.take_name(with(rename.ident.to_string()), Some(rename.rename.to_string()));
            }
            UseTree::Glob(_) => self.take_name(before.to_vec(), None),
        }
    }

    fn take_name(&mut self, path: Vec<String>, renamed: Option<String>) {
        // `use child::Name` means the child of the module that says so.
        let path = self.rooted(&path).unwrap_or_else(|| self.at.iter().cloned().chain(path).collect());
        let name = renamed.or_else(|| path.last().cloned());
        if let (Some(name), true) = (name, self.at == self.of_file) {
            self.names.insert(name, path.clone());
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Parsed {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Use(item) = item {
            self.take_use(&item.tree, &[]);
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        // Tests stand beside what they test, and may use all of it.
        if module.content.is_none() || module.ident == "tests" {
            return;
        }
        self.at.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.at.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(path) = self.rooted(&names) {
            self.paths.push(path);
        } else if let Some(first) = names.first()
            && names.len() > 1
        {
            // `child::function()`, or one by a name that `use` brought in.
            let at: Vec<String> = self.at.iter().cloned().chain([first.clone()]).collect();
            self.paths.push(at.into_iter().chain(names[1..].iter().cloned()).collect());
        }
        visit::visit_path(self, path);
    }
}
