//! Pairs of a name and arguments, where the name decides which arguments there are: the form in
//! which plans store each step.
//!
//! serde can derive an enum as a map, `{"Posterize": {"bits": 3}}`, but not as a pair,
//! `["Posterize", {"bits": 3}]`. The pairs are what Python code loops over.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// A type whose values are stored as pairs.
pub trait Pair: Sized {
    /// Reads the arguments that belong to `name`.
    fn read<'de, D: Deserializer<'de>>(name: &str, arguments: D) -> Result<Self, D::Error>;
}

/// Reads a pair.
pub fn deserialize<'de, T: Pair, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_tuple(2, PairVisitor(PhantomData))
}

/// Reads the arguments of the step called `name`. An error names the step and the argument.
pub fn arguments<'de, T, D>(name: &str, deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let cause = error.inner();
        match error.path().iter().next() {
            Some(_) => refusal(name, format_args!("argument '{}': {cause}", error.path())),
            None => refusal(name, cause),
        }
    })
}

/// The error for a name that no step has.
pub fn unknown<E: Error>(name: &str) -> E {
    E::custom(format_args!("a plan has no op named '{name}'"))
}

fn refusal<E: Error>(name: &str, what: impl Display) -> E {
    E::custom(format_args!("{name}: {what}"))
}

struct PairVisitor<T>(PhantomData<T>);

impl<'de, T: Pair> Visitor<'de> for PairVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a pair of a name and its arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<T, A::Error> {
        let name: String =
            pair.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let arguments = ArgumentsSeed { name, value: PhantomData };
        pair.next_element_seed(arguments)?.ok_or_else(|| A::Error::invalid_length(1, &self))
    }
}

/// The second of a pair, when the first has been read.
struct ArgumentsSeed<T> {
    name: String,
    value: PhantomData<T>,
}

impl<'de, T: Pair> DeserializeSeed<'de> for ArgumentsSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(&self.name, deserializer)
    }
}
