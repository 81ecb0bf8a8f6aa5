//! `palisade show alarms`: what is wrong now.

use jiff::Timestamp;
use serde::Deserialize;

use super::grid::{Grid, left, wrapping};
use super::units;

#[derive(Debug, Deserialize)]
pub(super) struct Alarms {
    alarms: Vec<Alarm>,
}

#[derive(Debug, Deserialize)]
struct Alarm {
    alarm: String,
    #[serde(default)]
    subject: Option<String>,
    severity: String,
    message: String,
    since: Timestamp,
}

pub(super) fn table(view: &Alarms, width: Option<usize>) -> Vec<String> {
    if view.alarms.is_empty() {
        return vec!["no alarms".to_owned()];
    }
    let mut grid = Grid::new([
        left("SINCE"),
        left("SEVERITY"),
        left("ALARM"),
        left("OF"),
        wrapping("MESSAGE"),
    ]);
    for alarm in &view.alarms {
        grid.row([
            units::moment(alarm.since).into(),
            alarm.severity.as_str().into(),
            alarm.alarm.as_str().into(),
            alarm.subject.as_deref().into(),
            alarm.message.as_str().into(),
        ]);
    }
    grid.lines(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_since_when_and_of_what() {
        let alarms = r#"{"alarms": [{"alarm": "link-down", "subject": "left", "severity": "error",
            "message": "eth1 has no carrier", "since": "2026-11-26T10:00:00Z"}]}"#;
        let lines = table(&serde_json::from_str(alarms).unwrap(), None);
        assert_eq!(
            lines[1],
            "2026-11-26 10:00:00Z  error     link-down  left  eth1 has no carrier"
        );
        let none: Alarms = serde_json::from_str(r#"{"alarms": []}"#).unwrap();
        assert_eq!(table(&none, None), ["no alarms"]);
    }
}
