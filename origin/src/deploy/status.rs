//! The state of an application, as the admin API shows it.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tributary_node::config::OnDeploy;

use super::loader::Problem;
use crate::{app, exchange::RelayLine};

/// An application at this moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The version that new groups take; none if it cannot be connected to.
    pub(crate) version: Option<u64>,
    /// The SHA-256 of that version's files: the same on every origin that has it.
    pub(crate) digest: Option<String>,
    /// When that version came into force here.
    pub(crate) deployed_at: Option<String>,
    /// The treatment of running groups at a deployment.
    pub(crate) on_deploy: OnDeploy,
    /// The most groups it may have.
    pub(crate) max_groups: usize,
    /// Groups that run, of any version.
    pub(crate) groups: usize,
    /// Of those, how many run an older version.
    pub(crate) older_groups: usize,
    /// Sessions of all its groups.
    pub(crate) sessions: usize,
    /// Remarks on the folder, which is used all the same.
    pub(crate) notes: Vec<String>,
    /// The last version that came, if it was refused.
    pub(crate) refused: Option<Refused>,
}

/// The origin of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A folder of the applications directory.
    Folder,
    /// The program itself.
    BuiltIn,
}

/// A version that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub(crate) at: String,
    /// The step that it failed.
    pub(crate) stage: DeployStage,
    pub(crate) problems: Vec<Problem>,
}

/// A step that a version has to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeployStage {
    /// Its files can be read and are within the limits.
    Files,
    /// Everything that is reached from its main file compiles.
    Compile,
    /// An instance without clients starts.
    Trial,
}

/// A line of an application's log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogLine {
    /// Counts the application's lines.
    pub(crate) number: u64,
    pub(crate) at: String,
    /// `info`, `warning` or `error`.
    pub(crate) level: &'static str,
    /// The instance that wrote it; none for a line about the application as a whole.
    pub(crate) instance: Option<String>,
    pub(crate) text: String,
}

impl From<app::Line> for LogLine {
    fn from(line: app::Line) -> Self {
        Self {
            number: line.number,
            at: timestamp(line.at),
            level: line.level.as_str(),
            instance: line.instance.as_deref().map(str::to_owned),
            text: line.text,
        }
    }
}

/// A push or a pull, or a target of the configuration that has neither.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RelayStatus {
    pub(crate) application: String,
    /// Without instance and stream the target has nothing to do.
    pub(crate) instance: Option<String>,
    pub(crate) stream: Option<String>,
    /// `push` or `pull`.
    pub(crate) kind: &'static str,
    /// `rtmp://HOST[:PORT]/APP`, or `rtmps`.
    pub(crate) target: String,
    /// `idle`, `connecting`, `running` or `waiting`.
    pub(crate) state: &'static str,
    pub(crate) since: String,
    /// Why it waits; empty for other states.
    pub(crate) reason: String,
    pub(crate) next_attempt: Option<String>,
    pub(crate) attempts: u64,
}

impl From<RelayLine> for RelayStatus {
    fn from(line: RelayLine) -> Self {
        let (instance, stream) = line.stream.unzip();
        Self {
            application: line.application,
            instance,
            stream,
            kind: line.kind,
            target: line.target,
            state: line.state,
            since: timestamp(line.since),
            reason: line.reason,
            next_attempt: line.next_attempt.map(timestamp),
            attempts: line.attempts,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A time as RFC 3339 has it, in UTC and milliseconds.
pub(super) fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day, given the days since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that a leap day is a year's last, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_millis(milliseconds);
            assert_eq!(timestamp(at), expected);
        }
    }
}
