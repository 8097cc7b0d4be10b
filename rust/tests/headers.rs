//! `src/sys/` declares what the headers declare: every name, type, value and field, in their order.

mod common;

use common::tree;
use std::collections::BTreeSet;

const HEADERS: [&str; 4] = ["types", "features", "tokenizer", "millwright"];

/// Words and signs, without what is between them.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || character == '_';
        match tokens.last_mut() {
            Some(last) if is_word && in_word => last.push(character),
            _ if !character.is_whitespace() => tokens.push(character.to_string()),
            _ => {}
        }
        in_word = is_word;
    }
    tokens
}

fn without(text: &str, begin: &str, end: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(at) = rest.find(begin) {
        kept += &rest[..at];
        let behind = &rest[at..];
        rest = behind.find(end).map_or("", |length| &behind[length + end.len()..]);
    }
    kept + rest
}

/// A C type in Rust, and the name behind it: `const char* const* names`.
fn variable(declaration: &[String]) -> (String, String) {
    let (name, words) = declaration.split_last().expect("a name");
    let mut base = String::new();
    // Whether what the pointer to come points to is const.
    let mut is_const = false;
    for word in words {
        match word.as_str() {
            "const" => is_const = true,
            "*" => {
                base = format!("*{} {base}", if is_const { "const" } else { "mut" });
                is_const = false;
            }
            word => base = rust_name(word).to_owned(),
        }
    }
    (name.clone(), base)
}

fn rust_name(word: &str) -> &str {
    match word {
        "char" => "c_char",
        "int" => "c_int",
        "void" => "c_void",
        "float" => "f32",
        "double" => "f64",
        "size_t" => "usize",
        "int32_t" => "i32",
        "int64_t" => "i64",
        "uint64_t" => "u64",
        other => other,
    }
}

fn split(tokens: &[String], at: &str) -> Vec<Vec<String>> {
    tokens.split(|token| token == at).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

/// `float beta1, beta2;` as two fields.
fn fields(body: &[String]) -> String {
    let mut fields = String::new();
    for line in split(body, ";") {
        let several = split(&line, ",");
        let kind: Vec<String> =
            several[0].iter().take_while(|word| *word != "*").cloned().collect();
        let kind = if several[0].contains(&"*".to_owned()) {
            kind
        } else {
            kind[..kind.len() - 1].to_vec()
        };
        for (i, one) in several.iter().enumerate() {
            let whole = if i == 0 { one.clone() } else { [kind.clone(), one.clone()].concat() };
            let (name, kind) = variable(&whole);
            fields += &format!("pub {name} : {kind} , ");
        }
    }
    fields
}

fn parameters(list: &[String]) -> String {
    let all = split(list, ",").into_iter().filter(|one| one.len() > 1).map(|one| variable(&one));
    all.map(|(name, kind)| format!("{name} : {kind}")).collect::<Vec<_>>().join(" , ")
}

fn function(declaration: &[String]) -> String {
    let open = declaration.iter().position(|token| token == "(").expect("parameters");
    let (name, given) = variable(&declaration[..open]);
    let takes = parameters(&declaration[open + 1..declaration.len() - 1]);
    let gives = if given == "c_void" { String::new() } else { format!(" -> {given}") };
    format!("pub fn {name} ( {takes} ){gives} ;").replace("(  )", "( )")
}

/// What Rust has to declare for a header.
fn expected(header: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text = without(&without(header, "/*", "*/"), "#ifdef __cplusplus", "#endif");
    for line in text.lines().filter(|line| line.starts_with("#define MW_")) {
        if let [_, _, name, value] = &tokens(line)[..] {
            let value = value.replace("INT64_MAX", "i64 :: MAX");
            found.insert(format!("pub const {name} : i64 = {value} ;"));
        }
    }
    let code: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut rest = &tokens(&code.join("\n"))[..];
    while !rest.is_empty() {
        let mut depth = 0;
        let end = rest.iter().position(|token| {
            depth += i32::from(token == "{") - i32::from(token == "}");
            depth == 0 && token == ";"
        });
        let (one, behind) = rest.split_at(end.expect("a semicolon"));
        found.extend(declared(one));
        rest = &behind[1..];
    }
    found
}

fn declared(one: &[String]) -> Vec<String> {
    let words: Vec<&str> = one.iter().map(String::as_str).collect();
    match &words[..] {
        ["typedef", "enum", name, "{", .., "}", _] => {
            let values = split(&one[4..one.len() - 2], ",").into_iter();
            let constants = values.map(|value| match &value[..] {
                [constant, _, number] => format!("pub const {constant} : {name} = {number} ;"),
                other => panic!("a value without a number: {other:?}"),
            });
            constants.chain([format!("pub type {name} = c_uint ;")]).collect()
        }
        ["typedef", "struct", name, "{", .., "}", _] => {
            vec![format!("pub struct {name} {{ {}}}", fields(&one[4..one.len() - 2]))]
        }
        ["typedef", "struct", name, _] => vec![format!("opaque {name}")],
        ["typedef", "int", "(", "*", name, ")", "(", ..] => {
            let takes = parameters(&one[7..one.len() - 1]);
            let pointer = format!("unsafe extern \"C\" fn ( {takes} ) -> c_int");
            vec![format!("pub type {name} = Option < {pointer} > ;")]
        }
        ["MW_C_API", ..] => vec![function(&one[1..])],
        other => panic!("{} is nothing that this test knows", other.join(" ")),
    }
}

/// What a file of `src/sys/` declares, spelled as `expected` does.
fn found(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| {
            !line.starts_with("//!") && !line.starts_with("use ") && !line.starts_with("#[")
        })
        .collect();
    let (mut items, mut one) = (BTreeSet::new(), Vec::new());
    let mut is_struct = false;
    for token in tokens(&code.join("\n")) {
        is_struct |= token == "struct";
        one.push(token.clone());
        let ends = if is_struct { token == "}" } else { token == ";" };
        if ends {
            items.extend(spelled(&one));
            (one, is_struct) = (Vec::new(), false);
        }
    }
    items
}

fn spelled(item: &[String]) -> Vec<String> {
    let words: Vec<&str> = item.iter().map(String::as_str).collect();
    if let ["opaque", "!", "(", names @ .., ")", ";"] = &words[..] {
        return names.iter().map(|name| format!("opaque {name}")).collect();
    }
    let begin = words.iter().position(|word| *word == "pub").expect("something public");
    let text = words[begin..].join(" ");
    // As a person writes them, so that a difference can be read.
    let pairs = [(", )", ")"), ("- >", "->"), (": :", "::"), ("\" C \"", "\"C\""), ("* ", "*")];
    vec![pairs.iter().fold(text, |text, (from, to)| text.replace(from, to))]
}

#[test]
fn every_declaration_of_the_headers_stands_in_sys() {
    let mut count = 0;
    for name in HEADERS {
        let header = tree("include/millwright").join(name).with_extension("h");
        let source = tree("rust/src/sys").join(name).with_extension("rs");
        let expected = expected(&std::fs::read_to_string(header).unwrap());
        let found = found(&std::fs::read_to_string(source).unwrap());
        let missing: Vec<_> = expected.difference(&found).collect();
        let strange: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && strange.is_empty(),
            "src/sys/{name}.rs: expected {missing:#?}, got {strange:#?}"
        );
        count += expected.len();
    }
    assert!(count > 150, "{count}");
    let included = std::fs::read_dir(tree("include/millwright")).unwrap();
    let headers = included.filter(|entry| {
        entry.as_ref().unwrap().path().extension().map_or(false, |extension| extension == "h")
    });
    assert_eq!(headers.count(), HEADERS.len(), "a header that has no file in src/sys/");
}

#[test]
fn a_drift_is_noticed() {
    let header = "typedef enum mw_a {\n  MW_B = 0, /* x */\n  MW_C = 7\n} mw_a;\n\
                  typedef struct mw_s {\n  const char *a, *b;\n  float c, d;\n} mw_s;\n\
                  MW_C_API mw_status mw_f(const mw_s* s, const char* const* names, mw_s** made);\n";
    let source = "pub type mw_a = c_uint;\npub const MW_B: mw_a = 0;\npub const MW_C: mw_a = 7;\n\
                  #[repr(C)]\npub struct mw_s {\n    pub a: *const c_char,\n    pub b: *const c_char,\n    \
                  pub c: f32,\n    pub d: f32,\n}\nextern \"C\" {\n    pub fn mw_f(\n        s: *const mw_s,\n        \
                  names: *const *const c_char,\n        made: *mut *mut mw_s,\n    ) -> mw_status;\n}\n";
    assert_eq!(expected(header), found(source));
    for (from, to) in [
        ("MW_C = 7", "MW_C = 8"),
        ("float c, d", "double c, d"),
        ("float c, d", "float d, c"),
        ("mw_s** made", "const mw_s** made"),
        ("const char* const* names", "const char** names"),
        ("mw_status mw_f", "void mw_f"),
        ("  MW_C = 7", "  MW_C = 7, MW_D = 8"),
    ] {
        assert_ne!(expected(&header.replace(from, to)), found(source), "{from} {to}");
    }
}
