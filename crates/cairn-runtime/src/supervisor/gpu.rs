//! Measuring NVIDIA's cards where there are any.

use std::path::Path;

use nvml_wrapper::Nvml;

const MEGABYTE: f64 = 1e6;

/// The cards of this machine, through the library that comes with their driver.
#[derive(Debug)]
pub(super) struct Gpus {
    library: Nvml,
    count: u32,
}

impl Gpus {
    /// `None` where there is no card. The library is not even looked for then: loading it takes
    /// memory.
    pub(super) fn find() -> Option<Self> {
        if !Path::new("/proc/driver/nvidia/version").exists()
            && !Path::new("/dev/nvidiactl").exists()
        {
            return None;
        }
        let library = Nvml::init().ok()?;
        let count = library.device_count().ok().filter(|count| *count > 0)?;
        Some(Self { library, count })
    }

    /// Tells what each card is doing, by MLflow's names; what a card does not tell is left out.
    pub(super) fn measure(&self, note: &mut impl FnMut(&str, f64)) {
        for index in 0..self.count {
            let Ok(card) = self.library.device_by_index(index) else { continue };
            let mut note = |name: &str, value: f64| note(&format!("gpu_{index}_{name}"), value);
            if let Ok(memory) = card.memory_info() {
                note("memory_usage_megabytes", memory.used as f64 / MEGABYTE);
                note(
                    "memory_usage_percentage",
                    100.0 * memory.used as f64 / memory.total.max(1) as f64,
                );
            }
            if let Ok(utilization) = card.utilization_rates() {
                note("utilization_percentage", f64::from(utilization.gpu));
            }
            if let Ok(milliwatts) = card.power_usage() {
                note("power_usage_watts", f64::from(milliwatts) / 1000.0);
                if let Ok(limit) = card.enforced_power_limit() {
                    note(
                        "power_usage_percentage",
                        100.0 * f64::from(milliwatts) / f64::from(limit.max(1)),
                    );
                }
            }
        }
    }
}
