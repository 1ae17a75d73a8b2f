//! What the operating system says of this process. Read when metrics are, from `/proc`; where that is
//! not, nothing is said.

use metrics::{counter, gauge};

use super::metric;

/// Kernel ticks of a second: the unit of times in `/proc`, the same on every Linux.
const TICKS: u64 = 100;
/// Fields of `/proc/self/stat` that follow the name and come before the processor times.
const BEFORE_TIMES: usize = 11;

/// Brings the process's metrics up to date.
pub(super) fn measure() {
    if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
        counter!(metric::CPU_SECONDS).absolute(seconds);
    }
    if let Some(bytes) = read("status").as_deref().and_then(resident_bytes) {
        gauge!(metric::RESIDENT_BYTES).set(bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // the folder itself is open while it is counted
        gauge!(metric::OPEN_FILES).set(files.count().saturating_sub(1) as f64);
    }
}

fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// User and system time. The program's name, in brackets, may hold anything.
fn cpu_seconds(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(BEFORE_TIMES);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_whatever_the_program_is_called() {
        let stat = "7 (we) ir) S 1 7 7 0 -1 4194560 9 0 0 0 150 260 0 0 20 0 9 0 77 1 2";
        assert_eq!(cpu_seconds(stat), Some(4));
        assert_eq!(cpu_seconds("7 (weir) S"), None);
        assert_eq!(resident_bytes("Name:\tweir\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(resident_bytes("VmRSS: many"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes(&read("status").unwrap()).unwrap() > 1 << 20);
        assert!(cpu_seconds(&read("stat").unwrap()).is_some());
    }
}
