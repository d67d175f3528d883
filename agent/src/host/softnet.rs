//! `softnet`: what each CPU did with the packets that the network cards handed over, from `/proc/net/softnet_stat`
//! (`softnet_seq_show` in net/core/net-procfs.c).
//!
//! A CPU's label is the number of its line, as node_exporter 1.5 has it: with CPUs offline that is not the kernel's
//! number. The columns after the third are left out. An odd line costs its CPU.

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, read};
use crate::model::host::HostKind;

const FIELDS: [(&str, &str); 3] = [
    ("node_softnet_processed_total", "Packets that the CPU took from network cards."),
    ("node_softnet_dropped_total", "Packets dropped because the CPU's backlog was full."),
    ("node_softnet_times_squeezed_total", "Times that the CPU's turn ended while packets were left."),
];

pub struct Softnet {
    roots: Roots,
}

impl Softnet {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Softnet {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/softnet_stat");
        let text = read(&path)?;
        let mut odd = Oddities::default();
        let cpus = parse(&text, &mut odd);
        for (index, (name, help)) in FIELDS.into_iter().enumerate() {
            let family = out.family(HostKind::Counter, name, help);
            for (cpu, values) in &cpus {
                let value = values.get(index).copied().unwrap_or_default();
                family.add(&[("cpu", &cpu.to_string())], f64::from(value));
            }
        }
        odd.finish(&path)
    }
}

/// The numbers of each line that can be read: hexadecimal, without `0x`.
fn parse(text: &str, odd: &mut Oddities) -> Vec<(usize, [u32; FIELDS.len()])> {
    let mut cpus = Vec::new();
    for (cpu, line) in text.lines().enumerate() {
        match parse_line(line) {
            Some(values) => cpus.push((cpu, values)),
            None => odd.line(line),
        }
    }
    cpus
}

fn parse_line(line: &str) -> Option<[u32; FIELDS.len()]> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || u32::from_str_radix(words.next()?, 16).ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_three_columns_of_every_kernel() {
        let cases = [
            // 2.6.32: nine columns.
            ("0000002a 00000001 00000003 00000000 00000000 00000000 00000000 00000000 00000000\n", [42, 1, 3]),
            // 3.10: ten, 4.x: eleven.
            (
                "ffffffff 00000000 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n",
                [u32::MAX, 0, 10],
            ),
            // 6.x: the CPU's number is the thirteenth of fifteen.
            (
                "00000010 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 \
                 00000000 00000005 00000000 00000000\n",
                [16, 2, 0],
            ),
        ];
        for (text, wanted) in cases {
            let mut odd = Oddities::default();
            assert_eq!(parse(text, &mut odd), [(0, wanted)]);
            odd.finish(std::path::Path::new("softnet_stat")).unwrap();
        }
    }

    #[test]
    fn an_odd_line_costs_its_cpu() {
        let mut odd = Oddities::default();
        assert_eq!(
            parse("00000001 00000002 00000003\nwhat\n00000004 5 6 7\n", &mut odd),
            [(0, [1, 2, 3]), (2, [4, 5, 6])]
        );
        let error = odd.finish(std::path::Path::new("/proc/net/softnet_stat")).unwrap_err();
        assert_eq!(error.to_string(), "/proc/net/softnet_stat: odd line \"what\"");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|([0-9a-f]{0,9}[ \n]){0,40}") {
            parse(&text, &mut Oddities::default());
        }

        #[test]
        fn what_the_kernel_writes_is_read(cpus in proptest::collection::vec(any::<[u32; 3]>(), 0..70)) {
            let text: String =
                cpus.iter().map(|[one, two, three]| format!("{one:08x} {two:08x} {three:08x} 00000000\n")).collect();
            let read = parse(&text, &mut Oddities::default());
            prop_assert_eq!(read, cpus.into_iter().enumerate().collect::<Vec<_>>());
        }
    }
}
