//! The filters of lists, dicts and other sequences.

use super::access;
use super::arguments::Args;
use super::budget::{work, Held};
use super::error::{error, fail, Result};
use super::filters;
use super::methods::items_of;
use super::operators::binary;
use super::sorting::order_of;
use super::tests;
use super::text::{text_of, Writer};
use super::value::Value;
use std::cmp::Ordering;

/// Nothing where no filter here has that name.
pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Option<Value>> {
    let result = match name {
        "list" => {
            args.bind(name, &[])?;
            Value::list(value.elements()?)
        }
        "length" | "count" => {
            args.bind(name, &[])?;
            Ok(Value::Int(value.len()? as i64))
        }
        "first" => {
            args.bind(name, &[])?;
            value.first()?.map_or_else(|| Value::undefined("there is no first item"), Ok)
        }
        "last" => {
            args.bind(name, &[])?;
            if let Value::Stream(_) = value {
                return fail("last: a generator has no last item; put `| list` before it");
            }
            let last = value.elements()?.pop();
            last.map_or_else(|| Value::undefined("there is no last item"), Ok)
        }
        "reverse" => {
            args.bind(name, &[])?;
            if let Value::Str(text) = value {
                let _room = Held::new(text.text.len())?;
                return Ok(Some(Value::str(text.text.chars().rev().collect::<String>())?));
            }
            let mut items = value.elements()?;
            items.reverse();
            Value::stream(items)
        }
        "items" => {
            args.bind(name, &[])?;
            Value::stream(items_of(value)?)
        }
        "join" => join(value, args),
        "map" | "select" | "reject" | "selectattr" | "rejectattr" if !value.truth() => {
            Value::stream(Vec::new())
        }
        "map" => map(value, args),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, value, args),
        "sort" | "unique" | "min" | "max" | "groupby" => by_key(name, value, args),
        "dictsort" => dict_sort(value, args),
        "sum" => {
            let mut args = args.bind(name, &["attribute", "start"])?;
            let path = args.take(0);
            let mut total = args.take(1).unwrap_or(Value::Int(0));
            for item in value.elements()? {
                total = binary("+", &total, &key_of(&item, path.as_ref())?)?;
            }
            Ok(total)
        }
        "batch" | "slice" => pieces(name, value, args),
        _ => return Ok(None),
    };
    result.map(Some)
}

/// The member of `item` at a path such as `function.name`, or the item itself.
fn key_of(item: &Value, path: Option<&Value>) -> Result<Value> {
    let mut found = item.clone();
    match path {
        None | Some(Value::None) => {}
        Some(Value::Int(_)) => found = access::item(&found, path.unwrap_or(&Value::None))?,
        Some(Value::Str(path)) => {
            for name in path.text.split('.') {
                let key = match name.parse::<i64>() {
                    Ok(index) => Value::Int(index),
                    Err(_) => Value::str(name)?,
                };
                found = access::item(&found, &key)?;
            }
        }
        Some(other) => {
            return fail(format!("attribute: expected a str, got a {}", other.type_name()));
        }
    }
    Ok(found)
}

// Jinja sorts and groups texts without regard to case unless told otherwise.
fn folded(value: Value, case_sensitive: bool) -> Result<Value> {
    match value.as_str() {
        Some(text) if !case_sensitive => {
            let _room = Held::new(3 * text.len())?;
            Value::str(text.to_lowercase())
        }
        _ => Ok(value),
    }
}

fn ordering(a: &Value, b: &Value) -> Result<Ordering> {
    Ok(a.compare(b)?.unwrap_or(Ordering::Equal))
}

fn join(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.bind("join", &["d", "attribute"])?;
    let between = args.take(0).map(|given| text_of(&given)).transpose()?;
    let between = between.as_ref().and_then(Value::as_str).unwrap_or_default();
    let path = args.take(1);
    let mut out = Writer::default();
    for (at, item) in value.elements()?.into_iter().enumerate() {
        out.push(if at > 0 { between } else { "" })?;
        super::text::write_str(&mut out, &key_of(&item, path.as_ref())?)?;
    }
    out.into_value()
}

fn map(value: &Value, args: &Args) -> Result<Value> {
    let named = |name: &str| {
        args.named.iter().find(|(given, _)| &**given == name).map(|(_, value)| value.clone())
    };
    let mut mapped = Vec::new();
    if args.positional.is_empty() {
        let path = named("attribute");
        if path.is_none() {
            return fail("map: expected a filter or an attribute");
        }
        let default = named("default");
        for item in value.elements()? {
            let found = key_of(&item, path.as_ref())?;
            mapped.push(match (&found, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Value::stream(mapped);
    }
    let Some(filter) = args.positional[0].as_str() else {
        return fail("map: expected the name of a filter");
    };
    let rest = Args { positional: args.positional[1..].to_vec(), named: args.named.clone() };
    for item in value.elements()? {
        mapped.push(filters::apply(filter, &item, &rest)?);
    }
    Value::stream(mapped)
}

// select(test, arguments...), selectattr(attribute, test, arguments...)
fn select(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let wanted = name.starts_with("select");
    let by_attribute = name.ends_with("attr");
    let mut given = args.positional.iter();
    let path = if by_attribute { given.next() } else { None };
    if by_attribute && path.is_none() {
        return fail(format!("{name}: expected an attribute"));
    }
    let test = given.next();
    let rest = Args { positional: given.cloned().collect(), named: args.named.clone() };
    let mut kept = Vec::new();
    for item in value.elements()? {
        let key = key_of(&item, path)?;
        let passes = match test {
            Some(test) => {
                let test = test.as_str().ok_or_else(|| error("expected the name of a test"))?;
                tests::passes(test, &key, &rest)?
            }
            None => key.truth(),
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Value::stream(kept)
}

fn by_key(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let parameters: &[&str] = match name {
        "sort" => &["reverse", "case_sensitive", "attribute"],
        "groupby" => &["attribute", "default", "case_sensitive"],
        _ => &["case_sensitive", "attribute"],
    };
    let mut args = args.bind(name, parameters)?;
    let (mut reverse, mut default) = (false, None);
    let (case_sensitive, path) = match name {
        "sort" => {
            reverse = args.truth(0, false);
            (args.truth(1, false), args.take(2))
        }
        "groupby" => {
            default = args.take(1);
            (args.truth(2, false), Some(args.need(0)?))
        }
        _ => (args.truth(0, false), args.take(1)),
    };
    let items = value.elements()?;
    let _room = Held::new(200 * items.len())?;
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        let several = path.as_ref().and_then(Value::as_str).filter(|path| path.contains(','));
        let key = match several {
            Some(paths) => {
                let parts = paths.split(',').map(|path| {
                    folded(key_of(item, Some(&Value::str(path.trim())?))?, case_sensitive)
                });
                Value::list(parts.collect::<Result<_>>()?)?
            }
            None => folded(key_of(item, path.as_ref())?, case_sensitive)?,
        };
        keys.push(match (&key, &default) {
            (Value::Undefined(_), Some(default)) => default.clone(),
            _ => key,
        });
    }
    match name {
        "sort" => {
            let order = order_of(keys, reverse, &mut ordering)?;
            Value::list(order.into_iter().map(|at| items[at].clone()).collect())
        }
        "unique" => unique(items, keys),
        "groupby" => groups(&items, keys),
        _ => {
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best: Option<usize> = None;
            for at in 0..keys.len() {
                if best.map_or(Ok(true), |best| Ok(ordering(&keys[at], &keys[best])? == wanted))? {
                    best = Some(at);
                }
            }
            best.map_or_else(
                || Value::undefined("no item of an empty sequence"),
                |best| Ok(items[best].clone()),
            )
        }
    }
}

fn unique(items: Vec<Value>, keys: Vec<Value>) -> Result<Value> {
    let seen = super::value::Dict::new(
        keys.iter().enumerate().rev().map(|(at, key)| (key.clone(), Value::Int(at as i64))),
    )?;
    let mut kept = Vec::new();
    for (at, (item, key)) in items.into_iter().zip(&keys).enumerate() {
        if seen.get(key)?.and_then(Value::as_int) == Some(at as i64) {
            kept.push(item);
        }
    }
    Value::stream(kept)
}

fn groups(items: &[Value], keys: Vec<Value>) -> Result<Value> {
    let order = order_of(keys.clone(), false, &mut ordering)?;
    let mut groups: Vec<Value> = Vec::new();
    let mut at = 0;
    while at < order.len() {
        let key = &keys[order[at]];
        let mut members = Vec::new();
        while at < order.len() && keys[order[at]].equals(key)? {
            members.push(items[order[at]].clone());
            at += 1;
        }
        groups.push(Value::tuple(vec![key.clone(), Value::list(members)?])?);
    }
    Value::list(groups)
}

fn dict_sort(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.bind("dictsort", &["case_sensitive", "by", "reverse"])?;
    let case_sensitive = args.truth(0, false);
    let by = args.text(1)?;
    let reverse = args.truth(2, false);
    let place = match by.as_ref().and_then(Value::as_str) {
        None | Some("key") => 0,
        Some("value") => 1,
        _ => return fail("dictsort: by: expected 'key' or 'value'"),
    };
    let items = items_of(value.defined()?)?;
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        keys.push(folded(access::item(item, &Value::Int(place))?, case_sensitive)?);
    }
    let order = order_of(keys, reverse, &mut ordering)?;
    Value::list(order.into_iter().map(|at| items[at].clone()).collect())
}

// batch: lists of so many items; slice: so many lists.
fn pieces(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let parameter = if name == "batch" { "linecount" } else { "slices" };
    let mut args = args.bind(name, &[parameter, "fill_with"])?;
    let count = args.int(0)?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    if count == 0 {
        return fail(format!("{name}: expected a number above 0"));
    }
    let fill = args.take(1).filter(|fill| !matches!(fill, Value::None));
    let items = value.elements()?;
    let mut pieces = Vec::new();
    if name == "batch" {
        for piece in items.chunks(count) {
            let mut piece = piece.to_vec();
            if let Some(fill) = &fill {
                let missing = count - piece.len();
                work(missing)?;
                let _room = Held::new(missing.saturating_mul(24))?;
                piece.extend(std::iter::repeat_n(fill.clone(), missing));
            }
            pieces.push(Value::list(piece)?);
        }
        return Value::stream(pieces);
    }
    work(count)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut from = 0;
    for at in 0..count {
        let to = from + each + usize::from(at < longer);
        let mut piece = items[from..to].to_vec();
        if let (Some(fill), true) = (&fill, at >= longer && longer > 0) {
            piece.push(fill.clone());
        }
        pieces.push(Value::list(piece)?);
        from = to;
    }
    Value::stream(pieces)
}
