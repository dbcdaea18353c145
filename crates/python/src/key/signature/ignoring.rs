//! Parameters that are no part of the key.
//!
//! Ring 3. The canonical form of a call is made as for any other function; what was ignored is then left out of the row, so
//! it is neither hashed nor compared nor kept.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{ArgBuffer, Parameter, Parts, Signature};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::reference::PyRef;

/// Which values of a canonical form are left out.
#[derive(Clone, Debug)]
pub(super) struct Ignored {
    /// For each parameter.
    parameters: Vec<bool>,
    /// What goes to `*args`.
    args: bool,
    /// The first value that goes there.
    first_arg: bool,
    /// What goes to `**kwargs`.
    kwargs: bool,
    /// If nothing else is left out: so many of the first values.
    lead: Option<usize>,
}

impl Signature {
    /// Leaves these parameters out of the key. `first`: the first positional one too, whatever it is called.
    pub fn ignore(&mut self, py: Python<'_>, names: &[String], first: bool) -> PyResult<()> {
        if names.is_empty() && !first {
            return Ok(());
        }
        let mut known = Vec::new();
        for parameter in &self.parameters {
            known.push(parameter.name.as_py().bind(py).extract::<String>()?);
        }
        let mut ignored =
            Ignored { parameters: vec![false; known.len()], args: false, first_arg: false, kwargs: false, lead: None };
        for name in names {
            let [args, kwargs] = self.variadic.each_ref().map(|variadic| variadic.as_ref() == Some(name));
            match known.iter().position(|known| known == name) {
                Some(at) => ignored.parameters[at] = true,
                None if args => ignored.args = true,
                None if kwargs => ignored.kwargs = true,
                None => return Err(self.unknown(name, known)),
            }
        }
        if first && self.positional > 0 {
            ignored.parameters[0] = true;
        }
        ignored.first_arg = first && self.positional == 0;
        let lead = match ignored.first_arg {
            true => 1,
            false => ignored.parameters[..self.positional].iter().take_while(|ignored| **ignored).count(),
        };
        let others = ignored.parameters.iter().filter(|ignored| **ignored).count() > lead;
        let others = others || ignored.args || ignored.kwargs;
        ignored.lead = (!others).then_some(lead);
        self.ignored = Some(Box::new(ignored));
        Ok(())
    }

    /// `(*args, **kwargs)`, of which the first argument is no part of the key.
    pub fn of_any_without_first() -> Self {
        let ignored = Ignored { parameters: Vec::new(), args: false, first_arg: true, kwargs: false, lead: Some(1) };
        Signature {
            parameters: Vec::new(),
            positional: 0,
            positional_only: 0,
            var_positional: true,
            var_keyword: true,
            has_few: false,
            variadic: [None, None],
            ignored: Some(Box::new(ignored)),
        }
    }

    /// Another one of the same parameters.
    pub fn duplicate(&self, py: Python<'_>) -> Self {
        let duplicate = |object: &PyRef| object.clone_ref(py);
        let parameter =
            |of: &Parameter| Parameter { name: duplicate(&of.name), default: of.default.as_ref().map(duplicate) };
        Signature {
            parameters: self.parameters.iter().map(parameter).collect(),
            variadic: self.variadic.clone(),
            ignored: self.ignored.clone(),
            ..*self
        }
    }

    /// The value of the first parameter in a call without positional arguments.
    pub fn first_by_name<'a>(&self, call: &Arguments<'a>) -> Option<Ref<'a>> {
        if self.positional == 0 || self.positional_only > 0 {
            return None;
        }
        let (values, names) = call.parts();
        values.iter().zip(names).find(|(_, &name)| self.find(name) == Some(0)).map(|(&value, _)| value)
    }

    /// If nothing but the first values are no part of the key: how many.
    pub fn lead(&self) -> Option<usize> {
        self.ignored.as_ref().and_then(|ignored| ignored.lead)
    }

    /// What is said of a name that no parameter has.
    fn unknown(&self, name: &str, mut known: Vec<String>) -> PyErr {
        let [args, kwargs] = &self.variadic;
        known.splice(self.positional..self.positional, args.clone());
        known.extend(kwargs.clone());
        let known: Vec<_> = known.iter().map(|name| format!("'{name}'")).collect();
        let known = if known.is_empty() { "no parameters".into() } else { known.join(", ") };
        PyValueError::new_err(format!("ignore names '{name}', which is no parameter of fn: it has {known}"))
    }

    /// Whether parts of a call are no part of its key.
    #[inline(always)]
    pub fn ignores(&self) -> bool {
        self.ignored.is_some()
    }

    /// Whether the parameter of this number is no part of the key.
    pub(super) fn is_ignored(&self, at: usize) -> bool {
        self.ignored.as_ref().is_some_and(|ignored| ignored.parameters[at])
    }

    /// The values and names that make a call's key, without what is ignored; `None` for a call that the function would refuse.
    pub fn kept<'a>(&'a self, call: &Arguments<'a>, scratch: &'a mut ArgBuffer) -> Option<Parts<'a>> {
        if let (Some(ignored), false) = (&self.ignored, call.has_names()) {
            let (given, (from, to)) = (call.positional(), self.direct());
            // It is its own canonical form.
            if from <= given && given <= to {
                if let Some(values) = ignored.lead.and_then(|lead| call.parts().0.get(lead..)) {
                    return Some((values, &[]));
                }
            }
        }
        if !self.write_canonical(call, &mut scratch.row) {
            return None;
        }
        self.leave_out(scratch);
        // SAFETY: it was written, of what the call and the signature keep.
        Some(unsafe { scratch.row.parts() })
    }

    /// Takes what is ignored out of a canonical form.
    fn leave_out(&self, scratch: &mut ArgBuffer) {
        let Some(ignored) = &self.ignored else { return };
        let by_name = self.parameters.len() - self.positional;
        let (row, names) = (&mut scratch.row.values, &mut scratch.row.names);
        let named = row.length - by_name - names.length;
        let mut kept = 0;
        for at in 0..row.length {
            let is_left_out = if at < self.positional {
                ignored.parameters[at]
            } else if at < named {
                ignored.args || ignored.first_arg && at == self.positional
            } else if at < named + by_name {
                ignored.parameters[self.positional + at - named]
            } else {
                ignored.kwargs
            };
            if !is_left_out {
                let row = row.get();
                row[kept] = row[at];
                kept += 1;
            }
        }
        row.truncate(kept);
        if ignored.kwargs {
            names.truncate(0);
        }
    }

    /// The number that a value of the key has in the canonical form, and how many there are in that: of `count` in the key,
    /// the last `names` of which have names.
    pub fn number_in_call(&self, at: usize, count: usize, names: usize) -> (usize, usize) {
        let Some(ignored) = &self.ignored else { return (at, count) };
        let (positional, by_name) = ignored.parameters.split_at(self.positional);
        let kept = |flags: &[bool]| flags.iter().filter(|ignored| !**ignored).count();
        let args = count.saturating_sub(kept(positional) + kept(by_name) + names);
        let all = [positional, &vec![false; args], by_name, &vec![false; names]].concat();
        let number = all.iter().enumerate().filter(|(_, ignored)| !**ignored).nth(at).map_or(usize::MAX, |(at, _)| at);
        (number, all.len())
    }
}
