//! `ops!`, which writes [`Op`](super::Op) from the list of ops.

/// Declares `Op` and all that depends on the whole list of ops, which are given as
/// `module::Struct`.
///
/// A struct without [`Kernel`](super::kernel::Kernel) or serde's traits does not compile.
macro_rules! ops {
    ($($module:ident::$op:ident),+ $(,)?) => {
        $(pub use $module::$op;)+

        /// One operation, decided.
        ///
        /// The names are timm's where timm has one. The doc of each op says which function it
        /// equals.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Op {
            $(
                #[doc = concat!("[`", stringify!($op), "`](type@", stringify!($op), ").")]
                $op($op),
            )+
        }

        impl Op {
            /// The names of all ops.
            pub const NAMES: &[&str] = &[$(stringify!($op)),+];

            /// The op's name, as plans store it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$op(_) => stringify!($op),)+
                }
            }

            fn kernel(&self) -> &dyn Kernel {
                match self {
                    $(Self::$op(op) => op,)+
                }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Self {
                Self::$op(op)
            }
        })+

        impl serde::Serialize for Op {
            fn serialize<S: serde::Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$op(op) => (stringify!($op), op).serialize(serializer),)+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for Op {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                pair::deserialize(deserializer)
            }
        }

        impl pair::Pair for Op {
            fn read<'de, D: serde::Deserializer<'de>>(
                name: &str,
                arguments: D,
            ) -> std::result::Result<Self, D::Error> {
                match name {
                    $(stringify!($op) => pair::arguments(name, arguments).map(Self::$op),)+
                    _ => Err(pair::unknown(name)),
                }
            }
        }
    };
}

pub(super) use ops;
