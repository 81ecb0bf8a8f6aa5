//! `palisade completion`: what a shell has to know to complete a line.

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};

use crate::command::{CommandError, print};

/// Print the completion of this command line for a shell.
///
/// bash: `palisade completion bash > /etc/bash_completion.d/palisade`;
/// zsh: `palisade completion zsh > "${fpath[1]}/_palisade"`;
/// fish: `palisade completion fish > ~/.config/fish/completions/palisade.fish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn completion<C: CommandFactory>(args: &Args) -> Result<(), CommandError> {
    let whole = C::command();
    // Some shells would offer hidden commands, too.
    let offered = whole
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut command = Command::new("palisade")
        .args(whole.get_arguments().cloned())
        .subcommands(offered.cloned());
    let mut script = Vec::new();
    generate(args.shell, &mut command, "palisade", &mut script);
    print(&String::from_utf8_lossy(&script))
}
