//! Counters of the memory management, from `/proc/vmstat`: the fields that the filter lets through, under the kernel's
//! own names. Some count and some are levels, and the kernel does not say which, so they have no type.

use std::path::PathBuf;

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Filter, Settings, float, is_metric_name, read};

pub struct Vmstat {
    path: PathBuf,
    filter: Filter,
    /// By line. The kernel keeps the order until the next boot, so the filter is asked once per field.
    fields: Vec<Field>,
}

struct Field {
    name: Box<str>,
    /// The family's name and its help; None where it is not shown.
    shown: Option<(String, String)>,
}

impl Vmstat {
    pub fn new(settings: &Settings) -> Self {
        Self { path: settings.roots.proc("vmstat"), filter: settings.filter("vmstat"), fields: Vec::new() }
    }
}

impl Collector for Vmstat {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let text = read(&self.path)?;
        let mut problem = None;
        self.fields.truncate(text.lines().count());
        for (index, line) in text.lines().enumerate() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let Some((family, help)) = shown(&mut self.fields, index, name, &self.filter) else { continue };
            let Ok(value) = value.trim().parse() else {
                problem.get_or_insert_with(|| CollectError::odd(&self.path, format!("cannot read {line:?}")));
                continue;
            };
            let family = out.family(HostKind::Untyped, family.clone(), help.clone());
            if family.series.is_empty() {
                family.add(&[], float(value));
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

fn shown<'a>(fields: &'a mut Vec<Field>, index: usize, name: &str, filter: &Filter) -> Option<&'a (String, String)> {
    if fields.get(index).is_none_or(|field| *field.name != *name) {
        // A field that is not where it was: all that follow may have moved.
        fields.truncate(index);
        let shown = is_metric_name(name) && filter.allows(name);
        let shown = shown.then(|| (format!("node_vmstat_{name}"), format!("The field {name} of /proc/vmstat.")));
        fields.push(Field { name: name.into(), shown });
    }
    fields.get(index)?.shown.as_ref()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    fn filtered(dir: &std::path::Path) -> Settings {
        let mut settings = Settings::below(dir);
        let include = regex::Regex::new("^(oom_kill|pgpg|pswp|pg.*fault).*").ok();
        settings.filters.insert("vmstat", Filter { include, exclude: None });
        settings
    }

    #[test]
    fn fields_that_the_filter_lets_through() {
        let dir = tempfile::tempdir().unwrap();
        let mut vmstat = Vmstat::new(&filtered(dir.path()));
        put(dir.path(), "proc/vmstat", "nr_free_pages 9\npgpgin 1\npgfault 2\npgmajfault 3\noom_kill 4\n");
        for _ in 0..2 {
            let (out, ended) = seen_by(&mut vmstat);
            ended.unwrap();
            let names: Vec<&str> = out.0.iter().map(|family| &*family.name).collect();
            let wanted =
                ["node_vmstat_pgpgin", "node_vmstat_pgfault", "node_vmstat_pgmajfault", "node_vmstat_oom_kill"];
            assert_eq!(names, wanted);
            assert_eq!(out.value("node_vmstat_pgmajfault", ""), Some(3.0));
        }
        // Another kernel's order, as a test's root may have it.
        put(dir.path(), "proc/vmstat", "pgmajfault 30\npgpgin 10\nnr_free_pages 9\n");
        let (out, _) = seen_by(&mut vmstat);
        assert_eq!(out.value("node_vmstat_pgmajfault", ""), Some(30.0));
        assert_eq!(out.value("node_vmstat_pgpgin", ""), Some(10.0));
        assert_eq!(out.0.len(), 2);
    }

    #[test]
    fn an_odd_line_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/vmstat", "pgpgin\npgpgout x\n\npgfault 2\npgfault 7\nnr_odd -\n");
        let (out, ended) = seen_by(&mut Vmstat::new(&filtered(dir.path())));
        assert!(ended.unwrap_err().to_string().contains("pgpgin"));
        assert_eq!(out.value("node_vmstat_pgfault", ""), Some(2.0));
        assert_eq!(out.0.len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(texts in proptest::collection::vec("([a-z_]{0,5}[ é]?[0-9]{0,3}\n){0,9}", 1..4)) {
            let dir = tempfile::tempdir().unwrap();
            let mut vmstat = Vmstat::new(&Settings::below(dir.path()));
            for text in texts {
                put(dir.path(), "proc/vmstat", &text);
                let _ = seen_by(&mut vmstat);
                prop_assert_eq!(vmstat.fields.len(), text.lines().count());
            }
        }
    }
}
