//! Types of expressions, and which of them go together.

use super::value::Value;
use super::vocabulary::Type;

/// Type of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    /// known only at run time
    Dyn,
    /// the type of `null`
    Null,
    /// yes or no
    Bool,
    /// a whole number
    Int,
    /// a whole number that is not negative
    Uint,
    /// a number
    Float,
    /// text
    Text,
    /// bytes
    Bytes,
    /// a moment
    Time,
    /// a stretch of time
    Span,
    /// values of one type
    List(Box<Ty>),
    /// keys and values
    Map(Box<Ty>, Box<Ty>),
    /// a type
    Type,
    /// an address
    Ip,
    /// a block of addresses
    Cidr,
}

impl From<Type> for Ty {
    fn from(ty: Type) -> Ty {
        match ty {
            Type::Bool => Ty::Bool,
            Type::Int => Ty::Int,
            Type::Float => Ty::Float,
            Type::Text => Ty::Text,
        }
    }
}

impl Ty {
    /// The name CEL has for it.
    pub fn name(&self) -> String {
        match self {
            Ty::Dyn => "dyn".to_owned(),
            Ty::Null => "null".to_owned(),
            Ty::Bool => "bool".to_owned(),
            Ty::Int => "int".to_owned(),
            Ty::Uint => "uint".to_owned(),
            Ty::Float => "double".to_owned(),
            Ty::Text => "string".to_owned(),
            Ty::Bytes => "bytes".to_owned(),
            Ty::Time => "timestamp".to_owned(),
            Ty::Span => "duration".to_owned(),
            Ty::List(of) => format!("list({})", of.name()),
            Ty::Map(key, value) => format!("map({}, {})", key.name(), value.name()),
            Ty::Type => "type".to_owned(),
            Ty::Ip => "net.IP".to_owned(),
            Ty::Cidr => "net.CIDR".to_owned(),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Ty::Int | Ty::Uint | Ty::Float)
    }

    /// One of two, whichever it turns out to be: `None` where they are too different for that.
    pub(super) fn join(&self, other: &Ty) -> Option<Ty> {
        Some(match (self, other) {
            (a, b) if a == b => a.clone(),
            (Ty::Dyn, _) | (_, Ty::Dyn) => Ty::Dyn,
            (Ty::Null, other) | (other, Ty::Null) => other.clone(),
            (Ty::List(a), Ty::List(b)) => Ty::List(Box::new(a.join(b)?)),
            (Ty::Map(ka, va), Ty::Map(kb, vb)) => {
                Ty::Map(Box::new(ka.join(kb)?), Box::new(va.join(vb)?))
            }
            _ => return None,
        })
    }

    /// The type of a list's elements.
    pub(super) fn element(types: &[Ty]) -> Ty {
        let mut types = types.iter();
        let Some(first) = types.next() else { return Ty::Dyn };
        let joined = types.try_fold(first.clone(), |joined, ty| joined.join(ty));
        joined.unwrap_or(Ty::Dyn)
    }

    /// Whether `==` makes sense between them. Null is equal to nothing else, and may be asked for.
    pub(super) fn comparable(&self, other: &Ty) -> bool {
        match (self, other) {
            (Ty::Dyn | Ty::Null, _) | (_, Ty::Dyn | Ty::Null) => true,
            (Ty::List(a), Ty::List(b)) => a.comparable(b),
            (Ty::Map(ka, va), Ty::Map(kb, vb)) => ka.comparable(kb) && va.comparable(vb),
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Whether a value of the other type may be in this list, or a key of this map.
    pub(super) fn may_hold(&self, other: &Ty) -> bool {
        match self {
            Ty::List(of) => other.comparable(of),
            Ty::Map(key, _) => other.comparable(key),
            ty => *ty == Ty::Dyn,
        }
    }

    /// Whether one of them comes first.
    pub(super) fn ordered(&self, other: &Ty) -> bool {
        let has_order = |ty: &Ty| {
            ty.is_number()
                || matches!(ty, Ty::Dyn | Ty::Bool | Ty::Text | Ty::Bytes | Ty::Time | Ty::Span)
        };
        has_order(self)
            && has_order(other)
            && (self == other
                || matches!((self, other), (Ty::Dyn, _) | (_, Ty::Dyn))
                || (self.is_number() && other.is_number()))
    }
}

/// What a function takes in one place, or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Bool,
    Int,
    Uint,
    Float,
    Text,
    Bytes,
    Time,
    Span,
    List,
    /// a list of texts
    Texts,
    Map,
    Type,
    Ip,
    Cidr,
}

impl Kind {
    pub(super) fn ty(self) -> Ty {
        match self {
            Kind::Any => Ty::Dyn,
            Kind::Bool => Ty::Bool,
            Kind::Int => Ty::Int,
            Kind::Uint => Ty::Uint,
            Kind::Float => Ty::Float,
            Kind::Text => Ty::Text,
            Kind::Bytes => Ty::Bytes,
            Kind::Time => Ty::Time,
            Kind::Span => Ty::Span,
            Kind::List => Ty::List(Box::new(Ty::Dyn)),
            Kind::Texts => Ty::List(Box::new(Ty::Text)),
            Kind::Map => Ty::Map(Box::new(Ty::Dyn), Box::new(Ty::Dyn)),
            Kind::Type => Ty::Type,
            Kind::Ip => Ty::Ip,
            Kind::Cidr => Ty::Cidr,
        }
    }

    /// Whether an expression of this type may stand here.
    pub(super) fn takes(self, ty: &Ty) -> bool {
        match (self, ty) {
            (Kind::Any, _) | (_, Ty::Dyn) => true,
            (Kind::List, Ty::List(_)) | (Kind::Map, Ty::Map(..)) => true,
            (Kind::Texts, Ty::List(of)) => matches!(**of, Ty::Text | Ty::Dyn),
            (kind, ty) => kind.ty() == *ty,
        }
    }

    /// Whether this value may stand here. Of a list of texts the elements are looked at when used.
    pub(super) fn has(self, value: &Value<'_>) -> bool {
        match value {
            Value::Null => self == Kind::Any,
            Value::Bool(_) => matches!(self, Kind::Any | Kind::Bool),
            Value::Int(_) => matches!(self, Kind::Any | Kind::Int),
            Value::Uint(_) => matches!(self, Kind::Any | Kind::Uint),
            Value::Float(_) => matches!(self, Kind::Any | Kind::Float),
            Value::Text(_) => matches!(self, Kind::Any | Kind::Text),
            Value::Bytes(_) => matches!(self, Kind::Any | Kind::Bytes),
            Value::Time(_) => matches!(self, Kind::Any | Kind::Time),
            Value::Span(_) => matches!(self, Kind::Any | Kind::Span),
            Value::List(_) => matches!(self, Kind::Any | Kind::List | Kind::Texts),
            Value::Map(_) => matches!(self, Kind::Any | Kind::Map),
            Value::Type(_) => matches!(self, Kind::Any | Kind::Type),
            Value::Ip(_) => matches!(self, Kind::Any | Kind::Ip),
            Value::Cidr(_) => matches!(self, Kind::Any | Kind::Cidr),
        }
    }
}

/// A type that is named in an expression.
pub(super) fn named(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 14] = [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "net.IP",
        "net.CIDR",
    ];
    NAMES.iter().find(|known| **known == name).copied()
}
