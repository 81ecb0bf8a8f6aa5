//! Medians, ranges and ratios as a table.

use std::fmt::Write as _;

use crate::contender::REFERENCE;
use crate::measure::Plan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Mpps,
    Gbps,
    Percent,
    Milliseconds,
    Mebibytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Mpps => "Mpps",
            Self::Gbps => "Gbit/s",
            Self::Percent => "%",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
        }
    }

    /// Whether a ratio between contenders means anything.
    fn has_ratio(self) -> bool {
        matches!(self, Self::Mpps | Self::Gbps)
    }
}

/// Everything measured, in the order in which it first appeared.
#[derive(Debug, Default)]
pub(crate) struct Results {
    rows: Vec<Row>,
    skipped: Vec<(String, String)>,
}

#[derive(Debug)]
struct Row {
    measurement: String,
    unit: Unit,
    contender: String,
    values: Vec<f64>,
}

impl Results {
    pub(crate) fn add(&mut self, measurement: &str, unit: Unit, contender: &str, value: f64) {
        if let Some(row) = self
            .rows
            .iter_mut()
            .find(|row| row.measurement == measurement && row.contender == contender)
        {
            row.values.push(value);
            return;
        }
        let row = Row {
            measurement: measurement.to_owned(),
            unit,
            contender: contender.to_owned(),
            values: vec![value],
        };
        // Next to the others of the same measurement.
        let position = self
            .rows
            .iter()
            .rposition(|row| row.measurement == measurement);
        self.rows.insert(
            position.map_or(self.rows.len(), |position| position + 1),
            row,
        );
    }

    pub(crate) fn skip(&mut self, contender: &str, reason: &str) {
        self.skipped.push((contender.to_owned(), reason.to_owned()));
    }

    /// A Markdown table with one block of rows per measurement.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "| {:<50} | {:<22} | {:>8} | {:>17} | {:<6} | {:>7} |\n|---|---|--:|--:|---|--:|\n",
            "measurement", "contender", "median", "min–max", "unit", "ratio"
        );
        let mut last = "";
        for row in &self.rows {
            let shown = if row.measurement == last {
                ""
            } else {
                &row.measurement
            };
            last = &row.measurement;
            let (least, middle, most) = row.summary();
            let range = format!("{least:.2}–{most:.2}");
            let ratio = self
                .ratio(row)
                .map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
            let _ = writeln!(
                table,
                "| {shown:<50} | {:<22} | {middle:>8.2} | {range:>17} | {:<6} | {ratio:>7} |",
                row.contender,
                row.unit.name(),
            );
        }
        for (contender, reason) in &self.skipped {
            let first_line = reason.lines().next().unwrap_or_default();
            let _ = write!(table, "\nSKIPPED {contender}: {first_line}\n");
        }
        table
    }

    /// This row's median in terms of the reference's.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let reference = self
            .rows
            .iter()
            .find(|other| other.measurement == row.measurement && other.contender == REFERENCE)?;
        row.unit
            .has_ratio()
            .then(|| row.summary().1 / reference.summary().1)
    }
}

impl Row {
    /// Least, median and most.
    fn summary(&self) -> (f64, f64, f64) {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        (values[0], middle, values[values.len() - 1])
    }
}

/// The whole of `RESULTS.md`.
pub(crate) fn document(machine: &str, table: &str, plan: &Plan, rounds: usize) -> String {
    format!(
        "# Forwarding, measured\n\n\
         Written by `cargo bench -p palisade-tests --bench forwarding`; {rounds} interleaved rounds, {} ms per rate,\n\
         {} s per TCP stream. Sender, firewall and receiver share the machine, so ratios mean more than figures. The\n\
         ratio is to {REFERENCE}.\n\n\
         - *rate*: the best received rate of UDP in sessions that were answered before, GRO on at every device.\n\
         - *rate per sender's CPU second*: what a flood delivered, per second that the sender and the softirq in its\n\
         \x20 system calls had a CPU. Other work on the machine lowers the rate, but hardly this.\n\
         - *lost at half*: the share lost at half of that rate.\n\
         - *one TCP stream*: iperf3, devices as the kernel makes them.\n\
         - *start to first packet*: from the process's start, or the first command that sets the kernel up, until the\n\
         \x20 server has a packet of a client that sends one every millisecond.\n\n\
         {machine}\n{table}",
        plan.per_rate.as_millis(),
        plan.per_stream.as_secs(),
    )
}
