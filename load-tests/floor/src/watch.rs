//! How fast a group goes, from outside: what it committed, and what that cost which process.

use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{CALL, Ends, ends, reading};
use crate::report::{Report, rounded};
use crate::topics::{INPUTS, named};
use crate::{Failure, Place, time};

const EVERY: Duration = Duration::from_millis(50);
/// Of the kernel's accounting; Linux reports in this unit everywhere.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures a group between two points of what is on the input topics now.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weir-floor watch --brokers 127.0.0.1:9092 --prefix b1. --group g1 --pid 4711 --pid 4712 --from 10% --to 90%"
)]
pub struct Watch {
    #[command(flatten)]
    place: Place,
    /// The group
    #[arg(long)]
    group: String,
    /// Processes whose CPU time and memory is told, in this order
    #[arg(long)]
    pid: Vec<u32>,
    /// Where the measurement begins
    #[arg(long, default_value = "10%", value_parser = percent)]
    from: f64,
    /// Where it ends
    #[arg(long, default_value = "90%", value_parser = percent)]
    to: f64,
    /// The longest it may take, in seconds
    #[arg(long, default_value_t = 300.0)]
    deadline: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("{text:?} is no share, expected 0% to 100%")),
    }
}

/// What was seen at one moment.
struct Seen {
    at: Instant,
    committed: i64,
    cpu_s: Vec<f64>,
}

impl Watch {
    /// # Errors
    /// When the brokers do not answer, a process ends too early, or the group is too slow.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut config = reading(&self.place, &self.group, 1_024);
        // positions as they are: asking for stable ones waits for the transaction under way
        config.set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.create()?;
        let ends = ends(&consumer, &named(&self.place, &INPUTS))?;
        let total: i64 = ends.values().map(|(low, high)| high - low).sum();
        if total == 0 {
            return Err("there is nothing on the input topics".into());
        }
        let mut list = TopicPartitionList::new();
        for (topic, partition) in ends.keys() {
            list.add_partition(topic, *partition);
        }
        let mark = |share: f64| (total as f64 * share) as i64;
        let deadline = Instant::now() + Duration::from_secs_f64(self.deadline);
        let first = self.reach(&consumer, &list, &ends, mark(self.from), deadline)?;
        let last = self.reach(&consumer, &list, &ends, mark(self.to), deadline)?;
        self.report(total, &first, &last)
    }

    /// Waits until so many records are committed.
    fn reach(
        &self,
        consumer: &BaseConsumer,
        list: &TopicPartitionList,
        ends: &Ends,
        mark: i64,
        deadline: Instant,
    ) -> Result<Seen, Failure> {
        loop {
            let due = Instant::now() + EVERY;
            let committed = committed(consumer, list, ends)?;
            let cpu_s = self.pid.iter().map(|pid| cpu_s(*pid)).collect::<Result<_, _>>()?;
            let seen = Seen { at: Instant::now(), committed, cpu_s };
            if committed >= mark {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                let reason = format!("group {} has committed {committed}", self.group);
                return Err(format!("{reason}, expected {mark} by now").into());
            }
            time::until(due);
        }
    }

    fn report(&self, total: i64, first: &Seen, last: &Seen) -> Result<Report, Failure> {
        let events = (last.committed - first.committed) as f64;
        let seconds = (last.at - first.at).as_secs_f64();
        if events <= 0.0 {
            return Err(
                "the group was done before it could be measured: give it more events".into()
            );
        }
        let cpu: Vec<f64> = last.cpu_s.iter().zip(&first.cpu_s).map(|(b, a)| b - a).collect();
        let per_event: Vec<f64> = cpu.iter().map(|cpu| rounded(cpu * 1e6 / events, 3)).collect();
        let rss = self.pid.iter().map(|pid| rss_max_mb(*pid)).collect::<Vec<_>>();
        Ok(Report::default()
            .with("total", total)
            .with("events", events)
            .with("seconds", rounded(seconds, 3))
            .with("per_second", rounded(events / seconds, 0))
            .with("cpu_s", cpu.iter().map(|cpu| rounded(*cpu, 2)).collect::<Vec<_>>())
            .with("cpu_us_per_event", per_event)
            .with("rss_max_mb", rss))
    }
}

/// Records before the committed positions.
fn committed(
    consumer: &BaseConsumer,
    list: &TopicPartitionList,
    ends: &Ends,
) -> Result<i64, Failure> {
    let committed = consumer.committed_offsets(list.clone(), CALL)?;
    let of = |((topic, partition), (low, _)): (&(String, i32), &(i64, i64))| match committed
        .find_partition(topic, *partition)
        .map(|found| found.offset())
    {
        Some(Offset::Offset(offset)) => offset - low,
        _ => 0,
    };
    Ok(ends.iter().map(of).sum())
}

/// User and system time of a process, those of its ended threads included.
fn cpu_s(pid: u32) -> Result<f64, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|_| format!("process {pid} has ended"))?;
    // the name, in parentheses, may hold anything
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(format!("{path}: no user and system time").into()),
    }
}

/// The most memory a process had resident, in MB; `None` if it has ended.
fn rss_max_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(rounded(kib / 1024.0, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents() {
        assert_eq!(percent("10%"), Ok(0.1));
        assert_eq!(percent("90"), Ok(0.9));
        assert!(percent("101%").is_err());
        assert!(percent("ten").is_err());
    }

    #[test]
    fn a_process_that_works_uses_cpu_time_and_memory() {
        let own = std::process::id();
        let before = cpu_s(own).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut sum = 0_u64;
        while cpu_s(own).unwrap() < before + 0.02 {
            assert!(Instant::now() < deadline, "no CPU time was counted");
            sum = (0..1_000_000).fold(sum, |sum, number| sum.wrapping_mul(31) ^ number);
        }
        assert!(rss_max_mb(own).is_some_and(|mb| mb > 0.5), "{sum}");
        assert!(cpu_s(u32::MAX).is_err());
    }
}
