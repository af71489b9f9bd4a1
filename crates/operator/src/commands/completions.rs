//! `payrelay completions`: what a shell needs to complete its command line.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{failure::CommandResult, output};

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    shell: Shell,
}

/// Prints the script for the whole command line.
pub(crate) fn run(options: &CompletionsOptions, whole: Command) -> CommandResult {
    Ok(output::line(script(options.shell, whole).trim_end())?)
}

fn script(shell: Shell, mut whole: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "payrelay", &mut script);
    String::from_utf8(script).expect("a script is text")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use clap::{CommandFactory as _, ValueEnum as _};

    use super::{Shell, script};
    use crate::cli::Cli;

    #[test]
    fn every_shell_learns_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = script(*shell, Cli::command());
            for name in ["payrelay", "contradictions", "ingress-admin-url"] {
                assert!(script.contains(name), "{shell} does not know {name}");
            }
        }
    }

    #[test]
    fn bash_takes_its_script_and_completes_by_it() {
        let asked = "\nCOMP_WORDS=(payrelay contr); COMP_CWORD=1; _payrelay payrelay contr payrelay; echo \"${COMPREPLY[@]}\"\n";
        let mut bash = Command::new("bash");
        let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let script = script(Shell::Bash, Cli::command()) + asked;
        bash.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("bash reads");
        let output = bash.wait_with_output().expect("bash ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "contradictions");
    }
}
