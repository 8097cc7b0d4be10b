//! Settings by name.

use crate::error::{check, Result};
use crate::handle::Handle;
use crate::{sys, text};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, a path, a choice (`cosine`), or a number or boolean as text.
    Text(OsString),
    /// A number.
    Number(f64),
    /// A list, which is set as a whole.
    List(Vec<OsString>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $into:expr;)*) => {
        $(
            impl From<$from> for Value {
                fn from($value: $from) -> Value {
                    $into
                }
            }
        )*
    };
}
value_from! {
    &str => |value| Value::Text(value.into());
    String => |value| Value::Text(value.into());
    &Path => |value| Value::Text(value.into());
    &PathBuf => |value| Value::Text(value.into());
    PathBuf => |value| Value::Text(value.into());
    bool => |value| Value::Text(value.to_string().into());
    f64 => |value| Value::Number(value);
    f32 => |value| Value::Number(value.into());
    i32 => |value| Value::Number(value.into());
    u32 => |value| Value::Number(value.into());
    // Not every one of these is a double.
    i64 => |value| Value::Text(value.to_string().into());
    u64 => |value| Value::Text(value.to_string().into());
    usize => |value| Value::Text(value.to_string().into());
}

impl<T: Into<OsString>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<OsString>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

/// Settings of opening a model, of a student and of a whole run, by the names in docs/settings.md.
/// A value that a setting cannot have is refused when it is set, in a sentence that names it.
///
/// ```
/// # fn main() -> millwright::Result<()> {
/// let mut settings = millwright::Settings::new();
/// settings.set("optimizer", "muon")?; // before the settings that it brings
/// settings.set("learning_rate", 2e-3)?.set("momentum", 0.9)?;
/// settings.set("trainable", ["layers_0_*", "*norm*"])?;
/// # Ok(())
/// # }
/// ```
pub struct Settings(Handle<sys::mw_settings>);

// SAFETY: a handle may be used from any thread, by one at a time.
unsafe impl Send for Settings {}

impl Settings {
    /// What is usual, of everything.
    ///
    /// # Panics
    /// Where memory is out.
    pub fn new() -> Settings {
        // SAFETY: `settings` is a place for the handle.
        let made = Handle::made(|settings| unsafe { sys::mw_settings_create(settings) });
        Settings(made.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Sets one and can be chained; after an error those before it stand.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Settings> {
        let called = text::c_string("name of a setting", name)?;
        // SAFETY: all texts live during the call.
        check(match value.into() {
            Value::Number(value) => unsafe {
                sys::mw_settings_set_number(self.0.get_mut(), called.as_ptr(), value)
            },
            Value::Text(value) => {
                let value = text::c_string(name, value)?;
                unsafe { sys::mw_settings_set(self.0.get_mut(), called.as_ptr(), value.as_ptr()) }
            }
            Value::List(values) => {
                let values =
                    values.iter().map(|v| text::c_string(name, v)).collect::<Result<Vec<_>>>()?;
                let pointers: Vec<_> = values.iter().map(|value| value.as_ptr()).collect();
                unsafe {
                    sys::mw_settings_set_list(
                        self.0.get_mut(),
                        called.as_ptr(),
                        pointers.as_ptr(),
                        pointers.len(),
                    )
                }
            }
        })?;
        Ok(self)
    }

    /// The same by value.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Settings> {
        self.set(name, value)?;
        Ok(self)
    }

    pub(crate) fn get(&self) -> *const sys::mw_settings {
        self.0.get()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}
