//! What all pages of HTML have in common. A page needs nothing beside itself: no script, no network.

/// Colours follow the reader's choice of light or dark.
const STYLE: &str = "
:root{--page:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#5c6670;--line:#dfe3e8;--good:#2a7f62;--warn:#9a6700;--bad:#c2412d;
--data:#3b6fb5;--few:#cfdcee;--half:#9db9dc;--most:#6c94c8;--none:#f0c9c1}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1d2125;--ink:#e9ecef;--soft:#9aa5b1;--line:#343a41;
--good:#5cc39c;--warn:#e0b050;--bad:#f07b66;--data:#74a5e8;--few:#263b57;--half:#365b8c;--most:#5480bb;--none:#5a2c25}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:0 0 12px;overflow-wrap:anywhere}h3{font-size:13px;color:var(--soft);
font-weight:600;margin:20px 0 6px}
p{margin:0 0 12px}.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin-top:20px}
.verdict{display:inline-block;padding:2px 12px;border-radius:99px;font-weight:600;color:var(--card)}
.verdict.good{background:var(--good)}.verdict.bad{background:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:0}
.tiles div{display:flex;flex-direction:column;justify-content:space-between;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:10px 12px}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-size:19px;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600;font-size:12px;text-align:left}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}
.number{text-align:right}.error{color:var(--bad);font-weight:600}.warning{color:var(--warn);font-weight:600}
.info{color:var(--soft)}
";

/// Everything before the content of a page; `style` is added to what all pages have.
pub(super) fn head(title: &str, style: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <title>{0}</title><style>{STYLE}{style}</style></head>\n<body><main>\n<h1>{0}</h1>\n",
        escape(title)
    )
}

/// Everything after it.
pub(super) const FOOT: &str = "</main></body></html>\n";

/// One number and what it is.
pub(super) fn tile(name: &str, value: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{value}</dd></div>")
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text that may stand anywhere in a page.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
