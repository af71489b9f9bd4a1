//! CPU time and memory of processes, as Linux tells them in `/proc`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::stats::float;

/// `USER_HZ`: the unit of times in `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of the process itself.
    own_ticks: u64,
    /// The same of those of its children that have ended.
    waited_ticks: u64,
}

/// A process, or one with all that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    /// The process alone.
    Process(u32),
    /// The process and its descendants, ended ones as well.
    Tree(u32),
}

/// Processes under the name that figures give them.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// As `ingress`, `postgresql`.
    pub(crate) name: &'static str,
    /// Its processes.
    pub(crate) members: Vec<Measured>,
}

/// CPU seconds used so far, by the name of the group.
pub(crate) fn cpu_seconds(groups: &[Group]) -> Result<BTreeMap<&'static str, f64>> {
    let all = all_processes()?;
    let seconds = |group: &Group| -> f64 {
        let ticks: u64 = group.members.iter().map(|measured| ticks(*measured, &all)).sum();
        float(ticks) / TICKS_PER_SECOND
    };
    Ok(groups.iter().map(|group| (group.name, seconds(group))).collect())
}

/// Peak resident memory in MB: of a process what it ever had at once since [`reset_peak`], of a tree the private
/// memory that it has now, and once what it shares.
pub(crate) fn peak_rss_mb(group: &Group) -> Result<f64> {
    let all = all_processes()?;
    let mut kib = 0;
    for measured in &group.members {
        match measured {
            Measured::Process(pid) => kib += status_of(*pid, "VmHWM:")?,
            Measured::Tree(pid) => {
                let tree = tree(*pid, &all);
                // A descendant may have ended meanwhile.
                let each = |field: &'static str| {
                    tree.iter().map(move |pid| status_of(*pid, field).unwrap_or_default())
                };
                kib += each("RssAnon:").sum::<u64>() + each("RssShmem:").max().unwrap_or_default();
            }
        }
    }
    Ok(float(kib) / 1024.0)
}

/// Lets the peak of a process begin anew. Without the right to do so it stays the peak since its start.
pub(crate) fn reset_peak(pid: u32) {
    let _not_allowed = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Seconds that all cores together were busy since the machine started.
pub(crate) fn machine_busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat: the bench needs Linux")?;
    let ticks = busy_ticks(&text).context("/proc/stat has no line `cpu`")?;
    Ok(float(ticks) / TICKS_PER_SECOND)
}

fn all_processes() -> Result<BTreeMap<u32, Stat>> {
    let entries = fs::read_dir("/proc").context("/proc: the bench needs Linux")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stats = pids.filter_map(|pid| {
        // It may have ended meanwhile.
        Some((pid, parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
    });
    let all: BTreeMap<_, _> = stats.collect();
    ensure!(!all.is_empty(), "/proc shows no process");
    Ok(all)
}

fn ticks(measured: Measured, all: &BTreeMap<u32, Stat>) -> u64 {
    match measured {
        Measured::Process(pid) => all.get(&pid).map_or(0, |stat| stat.own_ticks),
        Measured::Tree(pid) => {
            let members = tree(pid, all);
            members.iter().filter_map(|pid| all.get(pid)).map(|stat| stat.own_ticks + stat.waited_ticks).sum()
        }
    }
}

/// The process and its descendants that live.
fn tree(root: u32, all: &BTreeMap<u32, Stat>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name of the program stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        waited_ticks: number(13)? + number(14)?,
    })
}

fn status_of(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    kib(&text, field).with_context(|| format!("{path} has no {field}"))
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All but idle and waiting for a disk; `guest` is part of `user`.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let used = [0, 1, 2, 5, 6, 7];
    used.into_iter().map(|index| ticks.get(index).copied()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (tokio (rt) w) S 7 42 42 0 -1 4194560 900 0 0 0 150 50 20 5 20 0 9 0 12345 1 2";

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        assert_eq!(parse_stat(STAT), Some(Stat { parent: 7, own_ticks: 200, waited_ticks: 25 }));
        assert_eq!(parse_stat("42 (short) S 7"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_tree_counts_descendants_and_those_that_ended() {
        let stat = |parent| Stat { parent, own_ticks: 10, waited_ticks: 1 };
        let all = BTreeMap::from([(1, stat(0)), (5, stat(1)), (6, stat(5)), (9, stat(1))]);
        assert_eq!(tree(5, &all), [5, 6]);
        assert_eq!(ticks(Measured::Tree(1), &all), 44);
        assert_eq!(ticks(Measured::Process(1), &all), 10);
        assert_eq!(ticks(Measured::Process(77), &all), 0);
    }

    #[test]
    fn memory_and_busy_time_are_read() {
        assert_eq!(kib("VmPeak:\t  9 kB\nVmHWM:\t  1536 kB\n", "VmHWM:"), Some(1536));
        assert_eq!(kib("VmPeak:\t  9 kB\n", "VmHWM:"), None);
        assert_eq!(busy_ticks("cpu  10 1 5 900 50 2 3 4 0 0\ncpu0 1 2 3"), Some(25));
    }

    #[test]
    fn this_process_is_found() {
        let own = Group { name: "self", members: vec![Measured::Process(std::process::id())] };
        assert!(cpu_seconds(std::slice::from_ref(&own)).unwrap().contains_key("self"));
        assert!(peak_rss_mb(&own).unwrap() > 0.5);
        assert!(machine_busy_seconds().unwrap() > 0.0);
    }
}
