//! Where the servers' programs are: on this system, or in the root folder of another one, as `debootstrap` makes it.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::watchdog::base_directory;

/// Names the root folder, by its absolute path, of the system whose servers are used instead of this system's. Only root may run
/// them.
pub const ROOT_VARIABLE: &str = "PAYRELAY_SERVERS_ROOT";

/// The search path within another root.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes a program within another root, under the same process id. What it mounts is seen by that process and its children
/// alone, so nothing stays mounted, however they end.
const ENTER: &str = r#"
set -e
root=$1 temporary=$2 user=$3
shift 3
for folder in /proc /dev "$temporary"; do
    mkdir -p "$root$folder"
    mount --rbind "$folder" "$root$folder"
done
exec chroot ${user:+"--userspec=$user"} "$root" "$@"
"#;

/// User and group id of a process.
pub(crate) type User = (u32, u32);

/// The root folder of the system that holds the servers' programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(Option<PathBuf>);

impl Root {
    /// This system's, or the one that [`ROOT_VARIABLE`] names.
    pub fn from_env() -> Self {
        Self(env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()).map(PathBuf::from))
    }

    /// This system's, whatever the environment names.
    pub(crate) fn own() -> Self {
        Self(None)
    }

    /// The one in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(Some(folder.into()))
    }

    /// Whether it is another one than this system's.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.is_some()
    }

    /// Where this system finds what is at the absolute `path` within the root.
    pub fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        match &self.0 {
            None => path.to_owned(),
            Some(root) => {
                root.join(path.components().filter(|part| *part != Component::RootDir).collect::<PathBuf>())
            }
        }
    }

    /// The folders in which programs are looked for, as they are called within the root.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let path =
            if self.is_foreign() { SEARCH_PATH.into() } else { env::var_os("PATH").unwrap_or_default() };
        env::split_paths(&path).collect()
    }

    /// A command for the program at the absolute path `program` within the root, and whom it is to be started as. In another root
    /// it is to be started as root, and itself becomes `user`.
    pub(crate) fn command(&self, program: &Path, user: Option<User>) -> (Command, Option<User>) {
        let Some(root) = &self.0 else {
            return (Command::new(program), user);
        };
        let user = user.map(|(uid, gid)| format!("+{uid}:+{gid}")).unwrap_or_default();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", ENTER, "sh"]);
        command.arg(root).arg(base_directory()).arg(user).arg(program);
        command.env("PATH", SEARCH_PATH).env("LC_ALL", "C.UTF-8");
        (command, None)
    }
}

/// Has `command` run as `user`.
pub(crate) fn run_as(command: &mut Command, user: Option<User>) {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Root;

    #[test]
    fn a_path_within_another_root_is_found_below_its_folder() {
        let root = Root::at("/srv/other");
        assert_eq!(root.outside("/usr/bin/epmd"), Path::new("/srv/other/usr/bin/epmd"));
        assert_eq!(Root(None).outside("/usr/bin/epmd"), Path::new("/usr/bin/epmd"));
    }

    #[test]
    fn a_program_of_another_root_changes_its_user_only_after_its_mounts() {
        let (command, user) = Root::at("/srv/other").command(Path::new("/usr/bin/epmd"), Some((70, 71)));
        assert_eq!(user, None);
        assert!(command.get_args().any(|argument| argument == "+70:+71"));
        let (command, user) = Root(None).command(Path::new("/usr/bin/epmd"), Some((70, 71)));
        assert_eq!((command.get_program().to_str(), user), (Some("/usr/bin/epmd"), Some((70, 71))));
    }
}
