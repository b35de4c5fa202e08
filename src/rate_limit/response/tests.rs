use super::*;

const NOW: Millis = 1_795_600_000_000;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    read(status, headers.iter().copied(), body.as_bytes(), NOW)
}

fn until(status: u16, headers: &[(&str, &str)], body: &str) -> Option<Millis> {
    match answer(status, headers, body).verdict {
        Verdict::Refused { until } => until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn retry_after_is_seconds_whole_or_not_or_a_date_and_never_clamped() {
    let after = |text: &str| until(429, &[("retry-after", text)], "");
    assert_eq!(after("3"), Some(NOW + 3000));
    assert_eq!(after(" 0.25 "), Some(NOW + 250));
    assert_eq!(after("259200"), Some(NOW + 259_200_000), "three days");
    assert_eq!(after("Wed, 25 Nov 2026 12:00:00 GMT"), Some(1_795_608_000_000));
    assert_eq!(after("Wed, 25 Nov 2020 12:00:00 GMT"), Some(NOW), "past: at once");
    for nonsense in ["", "soon", "-5", "inf", "NaN", "1e9", "1e300", "Wed, 25 Nov 2099 12:00:00 GMT"] {
        assert_eq!(after(nonsense), None, "{nonsense:?}");
    }
    assert_eq!(until(429, &[], ""), None, "lost");
}

#[test]
fn bans_and_refusals_inside_a_body_are_refusals() {
    assert_eq!(until(418, &[("retry-after", "120")], ""), Some(NOW + 120_000));
    assert_eq!(until(418, &[], ""), Some(NOW + BAN));
    let banned = r#"{"code":-1003,"msg":"Way too much request weight used; IP banned until 1795600123456. Please use"}"#;
    assert_eq!(until(418, &[], banned), Some(1_795_600_123_456));
    assert_eq!(until(429, &[], banned), Some(1_795_600_123_456));
    let absurd = banned.replace("1795600123456", "9223372036854775807");
    assert_eq!(until(418, &[], &absurd), Some(NOW + BAN));
    assert_eq!(until(403, &[], r#"{"retMsg":"Access too frequent"}"#), Some(NOW + FORBIDDEN));
    assert_eq!(until(200, &[], r#"{"retCode":10006,"retMsg":"Too many visits!"}"#), None);
    assert_eq!(until(200, &[], r#"{"code":"50011","msg":"Too Many Requests"}"#), None);
    let reset = [("x-bapi-limit-status", "0"), ("x-bapi-limit-reset-timestamp", "1795600004000")];
    assert_eq!(until(200, &reset, r#"{"retCode":10018}"#), Some(1_795_600_004_000));
}

#[test]
fn everything_else_is_an_answer_or_a_failure() {
    let answered = Verdict::Answered { is_slow: false };
    assert_eq!(answer(200, &[], r#"{"retCode":0,"result":{}}"#).verdict, answered);
    assert_eq!(answer(200, &[], r#"[{"code":"50011"}]"#).verdict, answered);
    assert_eq!(answer(200, &[], "{broken").verdict, answered);
    let long = format!("{{\"retCode\":10006,\"pad\":\"{}\"}}", "x".repeat(SHORT));
    assert_eq!(answer(200, &[], &long).verdict, answered, "no refusal is that long");
    for status in [400, 401, 403, 404, 500, 503] {
        assert_eq!(answer(status, &[], "no").verdict, Verdict::Failed, "{status}");
    }
}

#[test]
fn quota_headers_in_every_dress() {
    let quotas = |headers: &[(&str, &str)]| answer(200, headers, "").quotas;
    let minute = Some(Duration::from_secs(60));
    let full =
        Quota { period: None, limit: Some(40), used: None, remaining: Some(17), reset: Some(NOW + 23_000) };
    for prefix in ["x-ratelimit", "ratelimit", "x-rate-limit"] {
        for reset in ["23", "1795600023", "1795600023000"] {
            let [limit, remaining, at] =
                ["limit", "remaining", "reset"].map(|name| format!("{prefix}-{name}"));
            assert_eq!(
                quotas(&[(&limit, "40"), (&remaining, "17"), (&at, reset)]),
                [full],
                "{prefix} {reset}"
            );
        }
    }
    for nonsense in ["-1", "5000000", "99999999999999999", "tomorrow"] {
        assert!(quotas(&[("x-ratelimit-reset", nonsense)]).is_empty(), "{nonsense}");
    }
    let ietf = [("ratelimit-policy", "\"w1\";q=40;w=60, \"w2\";q=5;w=1"), ("ratelimit", "\"w1\";r=17;t=23")];
    let second = Quota { period: Some(Duration::from_secs(1)), limit: Some(5), ..Quota::default() };
    assert_eq!(quotas(&ietf), [Quota { period: minute, ..full }, second]);
    assert_eq!(quotas(&[("ratelimit", "limit=40, remaining=17, reset=23")]), [full]);
    let used = Quota { period: minute, used: Some(2390), ..Quota::default() };
    assert_eq!(quotas(&[("x-mbx-used-weight-1m", "2390"), ("x-mbx-used-weight", "2390")]), [used]);
    for nonsense in ["", "1y", "0m", "9999999999999999d"] {
        assert!(quotas(&[(&format!("x-mbx-used-weight-{nonsense}"), "5")]).is_empty(), "{nonsense}");
    }
    assert_eq!(quotas(&[("x-mbx-used-weight-1m", "99999999999")])[0].used, Some(u32::MAX));
    assert!(quotas(&[("x-ratelimit-limit", "0")]).is_empty());
}
