//! Memory and swap.

use sysinfo::{MemoryRefreshKind, System};

use crate::model::host::HostFamily;

use super::{float, gauge};

/// None where sysinfo cannot start, which costs these numbers and nothing else.
pub struct Collector(Option<System>);

impl Default for Collector {
    fn default() -> Self {
        Self(System::new().ok())
    }
}

impl Collector {
    pub fn collect(&mut self) -> Vec<HostFamily> {
        let Some(system) = &mut self.0 else { return Vec::new() };
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        vec![
            gauge("node_memory_MemTotal_bytes", "Memory of the host.", float(system.total_memory())),
            gauge("node_memory_MemFree_bytes", "Memory that nothing uses.", float(system.free_memory())),
            gauge(
                "node_memory_MemAvailable_bytes",
                "Memory that programs can have without swapping.",
                float(system.available_memory()),
            ),
            gauge("node_memory_SwapTotal_bytes", "Swap space of the host.", float(system.total_swap())),
            gauge("node_memory_SwapFree_bytes", "Swap space that nothing uses.", float(system.free_swap())),
        ]
    }
}
