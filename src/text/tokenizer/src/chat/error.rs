//! Why a template cannot be read or rendered, and where in it.

/// The reason; `line` is 0 until a statement has been left.
#[derive(Debug)]
pub struct Error {
    pub text: String,
    pub line: u32,
}

pub type Result<T> = std::result::Result<T, Error>;

/// An error whose line is not known yet.
pub fn error(text: impl Into<String>) -> Error {
    Error { text: text.into(), line: 0 }
}

pub fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(error(text))
}

impl Error {
    /// The innermost line stays.
    pub fn at(mut self, line: u32) -> Error {
        if self.line == 0 {
            self.line = line;
        }
        self
    }

    /// One sentence, cut where a template put a novel into it.
    pub fn sentence(&self) -> String {
        const MOST: usize = 2000;
        let mut text: String = self.text.chars().take(MOST).collect();
        if text.len() < self.text.len() {
            text += "...";
        }
        if self.line > 0 {
            text += &format!(" (line {} of the template)", self.line);
        }
        text
    }
}
