//! The machine that results come from.

use std::fs;
use std::process::Command;

use palisade_tests::lab::Palisade;

/// A Markdown list: kernel, CPU, memory, versions, date.
pub(crate) fn describe() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let palisade = Palisade::binary()
        .ok()
        .and_then(|path| first_line(&path.to_string_lossy(), &["--version"]));
    let mut lines = vec![
        ("date", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("kernel", output("uname", &["-r"])),
        ("CPU", format!("{cpu}, {cores} cores")),
        ("memory", memory),
        (
            "load at the end",
            load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        ),
        ("nftables", output("nft", &["--version"])),
        ("iperf3", output("iperf3", &["--version"])),
        ("iproute2", output("ip", &["-V"])),
    ];
    lines.extend(palisade.map(|version| ("palisade", version)));
    lines
        .iter()
        .map(|(name, value)| format!("- {name}: {value}\n"))
        .collect()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    first_line(program, arguments).unwrap_or_else(|| "not found".to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()?
            .trim()
            .to_owned(),
    )
}
