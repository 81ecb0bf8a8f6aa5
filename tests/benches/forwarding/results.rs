//! Everything measured, round by round.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Mpps,
    Gbps,
    PerSecond,
    Percent,
    Microseconds,
    Milliseconds,
    Mebibytes,
    Bytes,
    #[allow(dead_code, reason = "only images are measured in them")]
    Megabytes,
    #[allow(dead_code, reason = "only chains are measured in them")]
    Sessions,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mpps => "Mpps",
            Self::Gbps => "Gbit/s",
            Self::PerSecond => "1/s",
            Self::Percent => "%",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::Bytes => "B",
            Self::Megabytes => "MB",
            Self::Sessions => "sessions",
        }
    }

    /// Whether a ratio between contenders means anything.
    pub(crate) fn has_ratio(self) -> bool {
        match self {
            Self::Mpps | Self::Gbps | Self::PerSecond | Self::Microseconds => true,
            Self::Percent
            | Self::Milliseconds
            | Self::Mebibytes
            | Self::Bytes
            | Self::Sessions
            | Self::Megabytes => false,
        }
    }
}

/// Rows in the order in which their measurements first appeared.
#[derive(Debug, Default)]
pub(crate) struct Results {
    round: usize,
    rows: Vec<Row>,
    failures: Vec<Failure>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) measurement: String,
    pub(crate) unit: Unit,
    pub(crate) contender: String,
    /// With the round that each comes from.
    values: Vec<(usize, f64)>,
}

/// A measurement that gave no value in one round, and perhaps in none.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) round: usize,
    pub(crate) measurement: String,
    pub(crate) contender: String,
    pub(crate) reason: String,
}

impl Results {
    /// What is added from now on belongs to this round.
    pub(crate) fn begin_round(&mut self, round: usize) {
        self.round = round;
    }

    pub(crate) fn add(&mut self, measurement: &str, unit: Unit, contender: &str, value: f64) {
        let value = (self.round, value);
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

    pub(crate) fn fail(&mut self, measurement: &str, contender: &str, reason: &str) {
        self.failures.push(Failure {
            round: self.round,
            measurement: measurement.to_owned(),
            contender: contender.to_owned(),
            reason: reason.to_owned(),
        });
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    pub(crate) fn row(&self, measurement: &str, contender: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.measurement == measurement && row.contender == contender)
    }
}

impl Row {
    pub(crate) fn summary(&self) -> Summary {
        let values = self.values.iter().map(|(_, value)| *value);
        Summary::of(values.collect()).expect("a row begins with a value")
    }

    /// This row in terms of another, within each round that has both; `None` if no round has.
    pub(crate) fn ratios_to(&self, peer: &Self) -> Option<Summary> {
        let ratios = self.values.iter().filter_map(|(round, value)| {
            let of_round = |(of, _): &&(usize, f64)| of == round;
            let (_, of_peer) = peer.values.iter().find(of_round)?;
            Some(value / of_peer)
        });
        Summary::of(ratios.collect())
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Summary {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Self {
            least,
            median,
            most,
        })
    }
}
