//! Measuring the machine, under MLflow's names, and what the launch itself takes of it.
//!
//! Source of the names and units: MLflow's `system_metrics` monitors (psutil and pynvml); a megabyte
//! is 1,000,000 bytes, network traffic counts from the start.

#[cfg(target_os = "linux")]
pub(super) use linux::Meter;
#[cfg(not(target_os = "linux"))]
pub(super) use nothing::Meter;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::time::Instant;

    use super::super::gpu::Gpus;
    use crate::survivors::Family;

    const MEGABYTE: f64 = 1e6;

    /// Where processor time stood when it was looked at last.
    #[derive(Debug, Clone, Copy, Default)]
    struct Processor {
        busy: u64,
        all: u64,
    }

    /// Remembers what changes are counted from.
    #[derive(Debug)]
    pub(crate) struct Meter {
        processor: Processor,
        network: (u64, u64),
        tree: HashMap<i32, u64>,
        at: Instant,
        ticks_per_second: f64,
        page_bytes: f64,
        gpus: Option<Gpus>,
    }

    impl Meter {
        /// Counts from now on.
        pub(crate) fn start() -> Self {
            Self {
                processor: processor(),
                network: network(),
                tree: HashMap::new(),
                at: Instant::now(),
                ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
                page_bytes: rustix::param::page_size() as f64,
                gpus: Gpus::find(),
            }
        }

        /// What is to be logged, by name. `child` is the process whose descendants count as the
        /// launch's own.
        pub(crate) fn measure(&mut self, child: i32) -> Vec<(String, f64)> {
            let mut found = Vec::with_capacity(16);
            let mut note = |name: &str, value: f64| found.push((format!("system/{name}"), value));

            let now = processor();
            let all = now.all.saturating_sub(self.processor.all);
            if all > 0 {
                let busy = now.busy.saturating_sub(self.processor.busy);
                note("cpu_utilization_percentage", 100.0 * busy as f64 / all as f64);
            }
            self.processor = now;
            if let Some((total, available)) = memory() {
                let used = total - available;
                note("system_memory_usage_megabytes", used / MEGABYTE);
                note("system_memory_usage_percentage", 100.0 * used / total);
            }
            if let Ok(disk) = rustix::fs::statvfs("/") {
                let unit = disk.f_frsize as f64;
                let used = disk.f_blocks.saturating_sub(disk.f_bfree) as f64 * unit;
                let free = disk.f_bavail as f64 * unit;
                note("disk_usage_megabytes", used / MEGABYTE);
                note("disk_usage_percentage", 100.0 * used / (used + free).max(1.0));
                note("disk_available_megabytes", free / MEGABYTE);
            }
            let (received, sent) = network();
            let since = |now: u64, then: u64| now.saturating_sub(then) as f64 / MEGABYTE;
            note("network_receive_megabytes", since(received, self.network.0));
            note("network_transmit_megabytes", since(sent, self.network.1));
            let (processor, memory, count) = self.tree(child);
            note("process_cpu_utilization_percentage", processor);
            note("process_memory_usage_megabytes", memory / MEGABYTE);
            note("process_count", count as f64);
            if let Some(gpus) = &self.gpus {
                gpus.measure(&mut note);
            }
            found
        }

        /// What the launch takes: percent of one processor, bytes of memory, number of processes.
        fn tree(&mut self, child: i32) -> (f64, f64, usize) {
            let family = Family::of_subreaper(rustix::process::Pid::from_raw(child));
            let mut ticks = HashMap::new();
            let mut bytes = 0.0;
            for pid in family.pids() {
                let Some((used, pages)) = process(pid) else { continue };
                ticks.insert(pid, used);
                bytes += pages as f64 * self.page_bytes;
            }
            // One that is new has worked since it is there; what one did that ended in between is lost.
            let used: u64 = ticks
                .iter()
                .map(|(pid, now)| now.saturating_sub(self.tree.get(pid).copied().unwrap_or(0)))
                .sum();
            let seconds = self.at.elapsed().as_secs_f64().max(0.001);
            self.at = Instant::now();
            let count = ticks.len();
            self.tree = ticks;
            (100.0 * used as f64 / self.ticks_per_second / seconds, bytes, count)
        }
    }

    fn processor() -> Processor {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; what guests use is in user already.
        let times: Vec<u64> =
            line.split(' ').filter_map(|word| word.parse().ok()).take(8).collect();
        let all = times.iter().sum();
        let idle: u64 = times.iter().skip(3).take(2).sum();
        Processor { busy: all - idle, all }
    }

    /// Bytes of memory: all, and what can be had without swapping.
    fn memory() -> Option<(f64, f64)> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let kibibytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        Some((kibibytes("MemTotal:")? * 1024.0, kibibytes("MemAvailable:")? * 1024.0))
    }

    /// Bytes received and sent since the system was turned on, over all interfaces.
    fn network() -> (u64, u64) {
        let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
        text.lines().filter_map(|line| line.split_once(':')).fold((0, 0), |sum, (_, rest)| {
            let mut numbers = rest.split_whitespace().map(|word| word.parse().unwrap_or(0));
            let received: u64 = numbers.next().unwrap_or(0);
            let sent: u64 = numbers.nth(7).unwrap_or(0);
            (sum.0 + received, sum.1 + sent)
        })
    }

    /// Ticks of processor time and pages of memory that a process has used.
    fn process(pid: i32) -> Option<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // The 14th and 15th of all fields, and the 24th; the first two are before the parenthesis.
        Some((number(11)? + number(12)?, number(21)?))
    }
}

#[cfg(not(target_os = "linux"))]
mod nothing {
    /// Only Linux tells what is measured here.
    #[derive(Debug)]
    pub(crate) struct Meter;

    impl Meter {
        pub(crate) fn start() -> Self {
            Self
        }

        pub(crate) fn measure(&mut self, _child: i32) -> Vec<(String, f64)> {
            Vec::new()
        }
    }
}
