//! What `scw-agent doctor` says of each failure: the table in docs/reference/json.md, and the example in docs/reference/states.md.

use scw_agent::doctor::Diagnosis;

use crate::markdown::table;

/// All of them. A test compares them with the variants in the source.
const ALL: [Diagnosis; 18] = [
    Diagnosis::NoRoute,
    Diagnosis::Prohibited,
    Diagnosis::BlackHole,
    Diagnosis::HostUnreachable,
    Diagnosis::NotPermitted,
    Diagnosis::NoSourcePort,
    Diagnosis::ConnectionRefused,
    Diagnosis::ConnectTimeout,
    Diagnosis::AnswerTimeout,
    Diagnosis::ConnectionLost,
    Diagnosis::SourcePortChanged,
    Diagnosis::TooManyRequests,
    Diagnosis::ServerError,
    Diagnosis::Redirect,
    Diagnosis::UnexpectedStatus,
    Diagnosis::AnotherService,
    Diagnosis::TooLarge,
    Diagnosis::Other,
];

/// The name in JSON, the likely cause and the remedy of each.
pub(crate) fn reference() -> String {
    let name = |diagnosis: &Diagnosis| serde_json::to_value(diagnosis).unwrap_or_default();
    let row = |diagnosis: &Diagnosis| {
        let name = name(diagnosis);
        vec![
            format!("`{}`", name.as_str().unwrap_or_default()),
            diagnosis.cause().to_owned(),
            diagnosis.remedy().to_owned(),
        ]
    };
    table(&["`trouble`", "`cause`", "`remedy`"], ALL.iter().map(row))
}

/// The output on an Instance whose administrator closed the way over IPv4, with the present advice.
pub(crate) fn example() -> String {
    format!(
        "```text
IPv4 (169.254.42.42)
✗ route         Invalid argument (os error 22) (0.1 ms)
                {}
                {}
IPv6 (fd00:42::42)
✓ route         from 2001:db8::10 (0.1 ms)
✓ source port   773 (0.4 ms)
✓ connect       connected (0.6 ms)
✓ /             api-metadata (1.0 ms)
✓ /conf         Instance daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86 (0.5 ms)
✓ /user_data    1 key (0.3 ms)
the agent
✓ daemon        metadata over IPv6; fingerprints published for daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d86, last checked 2026-11-29T22:28:21.516Z
the metadata service answers over IPv6; IPv4 does not work, but one family is enough
```
",
        Diagnosis::BlackHole.cause(),
        Diagnosis::BlackHole.remedy()
    )
}
