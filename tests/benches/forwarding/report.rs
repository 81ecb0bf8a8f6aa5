//! Goals, medians, ranges and ratios as tables.

use std::fmt::Write as _;

use crate::contender::REFERENCE;
use crate::goals::{self, Goal, Peer};
use crate::measure::Plan;
use crate::results::{Failure, Results, Row};

/// A Markdown table with one row per goal. A goal without a value was not asked for, unless everything was.
pub(crate) fn goals(results: &Results, asked_for_everything: bool) -> String {
    let mut table = format!(
        "| {:<48} | {:<18} | {:<22} | {:>6} | {:>13} | {:<10} | {:>6} | {:<8} |\n\
         |---|---|---|--:|--:|---|--:|---|\n",
        "what", "contender", "peer", "median", "min–max", "unit", "wanted", ""
    );
    for goal in goals::all() {
        let (value, range, verdict) = match goal.reached(results) {
            Some(reached) => (
                number(reached.median),
                format!("{}–{}", number(reached.least), number(reached.most)),
                goal.wanted.verdict(reached.median),
            ),
            // The table of everything says why.
            None if asked_for_everything => (String::new(), String::new(), "SKIPPED"),
            None => continue,
        };
        let _ = writeln!(
            table,
            "| {:<48} | {:<18} | {:<22} | {value:>6} | {range:>13} | {:<10} | {:>6} | {verdict:<8} |",
            goal.what,
            goal.contender,
            peer(&goal),
            goal.unit(),
            goal.wanted.to_string(),
        );
    }
    table
}

fn peer(goal: &Goal) -> &str {
    match &goal.peer {
        Peer::Contender(name) => name,
        Peer::Itself(_) => "itself",
        Peer::Nobody => "",
    }
}

/// As many decimals as say something.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 2,
        ..0.1 => 4,
        ..100.0 => 2,
        ..1000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A Markdown table with one block of rows per measurement.
pub(crate) fn table(results: &Results) -> String {
    let mut table = format!(
        "| {:<50} | {:<22} | {:>8} | {:>17} | {:<6} | {:>7} |\n|---|---|--:|--:|---|--:|\n",
        "measurement", "contender", "median", "min–max", "unit", "ratio"
    );
    let mut last = "";
    for row in results.rows() {
        let shown = if row.measurement == last {
            ""
        } else {
            &row.measurement
        };
        last = &row.measurement;
        let summary = row.summary();
        let range = format!("{}–{}", number(summary.least), number(summary.most));
        let ratio =
            ratio(results, row).map_or_else(String::new, |ratio| format!("{} ×", number(ratio)));
        let _ = writeln!(
            table,
            "| {shown:<50} | {:<22} | {:>8} | {range:>17} | {:<6} | {ratio:>7} |",
            row.contender,
            number(summary.median),
            row.unit.name(),
        );
    }
    for failure in results.failures() {
        let _ = writeln!(table, "{}", skipped(failure));
    }
    table
}

/// The median of this row's ratios to the reference's.
fn ratio(results: &Results, row: &Row) -> Option<f64> {
    let reference = results.row(&row.measurement, REFERENCE)?;
    let ratios = row.ratios_to(reference)?;
    row.unit.has_ratio().then_some(ratios.median)
}

fn skipped(failure: &Failure) -> String {
    let first_line = failure.reason.lines().next().unwrap_or_default();
    format!(
        "| {:<50} | {:<22} | SKIPPED in round {}: {first_line} | | | |",
        failure.measurement, failure.contender, failure.round
    )
}

/// The whole of `RESULTS.md`.
pub(crate) fn document(machine: &str, results: &Results, plan: &Plan, rounds: usize) -> String {
    let goals = goals(results, true);
    let table = table(results);
    format!(
        "# Forwarding, measured\n\n\
         ## Goals\n\n\
         Each number is a ratio to the peer, computed within each round; shown are the median of the rounds and their\n\
         range. Of latency it is a ratio of times, where less is better. Where there is no peer, the unit says what it is.\n\n\
         {goals}\n\
         ## Everything\n\n\
         Written by `make bench`; {rounds} interleaved rounds, {} ms per rate, {} s per TCP stream, {} s per web load,\n\
         {} ms per latency. Sender, firewall and receiver share the machine, so ratios mean more than figures. The\n\
         ratio is to {REFERENCE}, the median of the rounds' own; of µs, it is one of times.\n\n\
         {EXPLANATIONS}\n\
         {machine}\n{table}\n{MISSES}",
        plan.per_rate.as_millis(),
        plan.per_stream.as_secs(),
        plan.per_web_load.as_secs(),
        plan.per_latency.as_millis(),
    )
}

/// Written by hand: why goals that were missed are missed.
const MISSES: &str = include_str!("misses.md");

const EXPLANATIONS: &str = "\
- *bare tc redirect*: a program at both ports that does `bpf_redirect_peer` and nothing else; the ceiling. It is no
  firewall, and no router either.
- *rate*: the best received rate of UDP in sessions that were answered before, GRO on at every device. Fewer than 99 %
  answered is a failure.
- *rate per sender's CPU second*: what a flood delivered, per second that the sender and the softirq in its
  system calls had a CPU. Other work on the machine lowers the rate, but hardly this.
- *lost at half*: the share lost at half of that rate.
- *one TCP stream*: iperf3, devices as the kernel makes them.
- *HTTP*: wrk with 32 connections, one thread, against one nginx process, each on a core of its own; a second of
  warming up first. GRO on at every device.
- *UDP request–response*: one exchange after the other between ordinary sockets, both on the core that the generator
  does not have; half load is the generator beside it, at half of what nftables + masquerade forwards in the same
  round. A response that is lost counts as 50 ms.
- *room for 1,000,000*: few and many flows through the same process: same configuration, same capacity, 32 external
  addresses. The kernel's own contenders do not take part: the machine's connection tracking holds fewer.
- *memory per session*: what resident memory has grown by, compared with a process that has room for 1,024, and all
  BPF maps of the process, by the sessions in the table. Mapped pages of BPF maps count once.
- *policies*: all of them in one file, only the last matches. *workers*: threads of the appliance.
- *new sessions*: a flood in which every packet is a new flow, counted at the server.
- *first packets judged*: policies of ClassBench, which all deny, under a flood of packets drawn from them (three of
  four) and at random; nftables has the same rules in one chain. The chain runs in the sender's softirq, the appliance
  on both cores.
- *commit*: from the request until the answer, which comes when the change is in force. Of 10,000 policies, with
  16,384 flows at 200,000 packets per second beside it; what these lost is the row below.
- *taken out of a chain*: three instances side by side (`palisade chain`), one of which is stopped or killed: until the last
  new flow that gets no answer, of one every 10 ms. Connections through the other two are asked afterwards.
- *inspection*: one appliance without NAT after the other in the same lab. *Identifying*: a policy that asks for an application;
  *signatures*: a profile that prevents, with published rules, to the default depth of 1 MiB or to the last byte. wrk as above
  with answers of 1 kB; the download is bytes at random. Memory per session is what 2,000 connections with one request each add.
- *start to first packet*: from the process's start, or the first command that sets the kernel up, until the
  server has a packet of a client that sends one every millisecond.
";
