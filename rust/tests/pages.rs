//! The examples of other pages stand in docs/rust.md, whose examples are compiled.

mod common;

fn page(name: &str) -> String {
    std::fs::read_to_string(common::tree(name)).unwrap()
}

#[test]
fn what_pages_show_of_rust_is_compiled() {
    let compiled = page("docs/rust.md");
    for name in ["README.md", "docs/bindings.md"] {
        let text = page(name);
        let blocks: Vec<&str> = text.split("```rust\n").skip(1).collect();
        assert_eq!(blocks.len(), 1, "{name}");
        let code = blocks[0].split("```").next().unwrap();
        assert!(code.lines().count() > 3 && compiled.contains(code), "{name}: {code}");
    }
}
