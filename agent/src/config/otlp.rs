//! What was set of the OTLP exporter, by the standard variables' names, whoever set it.

use super::options::OPTIONS;
use super::{Config, Origin, Problem, Setting, place};
use crate::export::otlp::{OtlpConfig, OtlpSignal};
use std::collections::BTreeMap;

/// Values of standard variables, from flags, environment and file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Otlp(BTreeMap<&'static str, String>);

impl Otlp {
    /// Sets a variable. One that is set already becomes a list, entries separated by commas.
    pub(super) fn give(&mut self, name: &'static str, value: &str) {
        let known = self.0.entry(name).or_default();
        if !known.is_empty() {
            known.push(',');
        }
        known.push_str(value);
    }

    /// These variables, and the environment's of which there is no option.
    pub fn over<'a>(&'a self, env: &'a dyn Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| self.0.get(name).cloned().or_else(|| env(name))
    }
}

impl std::fmt::Debug for Otlp {
    /// Without the values: some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What the exporter cannot do with its variables, told where each was set.
pub(super) fn refused(config: &Config, env: &dyn Fn(&str) -> Option<String>, settings: &[Setting]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for signal in OtlpSignal::ALL {
        let Err(error) = OtlpConfig::from_env(signal, &config.otlp.over(env)) else {
            continue;
        };
        let option = OPTIONS.iter().find(|option| option.env == Some(error.name));
        let setting = option.and_then(|option| settings.iter().find(|setting| setting.name == option.name));
        let problem = Problem {
            place: match (option, setting) {
                (Some(option), Some(setting)) if setting.origin != Origin::Default => place(option, &setting.origin),
                _ => error.name.to_owned(),
            },
            what: error.what,
        };
        // What all signals read is told once.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}
