//! No mistake quotes a secret.

use super::*;

/// The mistakes of a main file beside whose secrets these are.
fn mistakes_with(secret: &str, rest: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("a"), secret).expect("write");
    mistakes(&format!("secret_dirs = [{:?}]\n{rest}", dir.path()))
}

#[test]
fn what_was_put_in_is_not_quoted() {
    let check = "[[check]]\nname = \"a\"\nchecker = \"tcp\"\n";
    let registry = "[registry]\nendpoints = [\"http://x:1\"]\n";
    let cases = [
        (format!("{check}params = \"${{file:a}}\"\n"), "check.a.params: a map is wanted"),
        (format!("{check}interval = \"${{file:a}}\"\n"), "a length of time with its unit"),
        (format!("{check}severity = \"${{file:a}}\"\n"), "\"${file:a}\" is not known"),
        (format!("{check}service = \"x ${{file:a}}\"\n"), "check.a.service"),
        (
            "[[service]]\nname = \"s\"\naddress = \"${file:a}\"\nchecks = \"none\"\n".to_owned(),
            "\"${file:a}\" is no address",
        ),
        (format!("{registry}ttl = \"${{file:a}}\"\n"), "registry.ttl"),
        ("[registry]\nendpoints = [\"${file:a}\"]\n".to_owned(), "\"${file:a}\" is no endpoint"),
    ];
    for secret in ["rot_2", "a much longer one", "with \"quotes\", expected nowhere"] {
        for (text, problem) in &cases {
            let found = mistakes_with(secret, text);
            assert!(found.len() == 1 && found[0].contains(problem), "{text}: {found:?} is not {problem}");
            assert!(!found[0].contains(secret) && !found[0].contains("quotes"), "{found:?}");
        }
    }
}

#[test]
fn what_was_typed_where_secrets_stand_is_not_quoted() {
    let cases = [
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nparams = \"hunter22\"\n", "params: a map is wanted"),
        ("[[report]]\nurl = \"http://h/\"\nheaders = \"Bearer hunter22\"\n", "headers: a map is wanted"),
        ("[[report]]\nurl = \"http://h/\"\nheaders = { a = 1234567 }\n", "headers: a string is wanted"),
        ("[registry]\nendpoints = [\"http://x:1\"]\nusername = \"u\"\npassword = 1234567\n", "a string is wanted"),
    ];
    for (text, problem) in cases {
        let found = mistakes(text);
        assert!(found.iter().any(|mistake| mistake.contains(problem)), "{text}: {found:?} is not {problem}");
        assert!(!found.iter().any(|m| m.contains("hunter22") || m.contains("1234567")), "{found:?}");
    }
}
