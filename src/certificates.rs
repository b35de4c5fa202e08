//! Whether a failed connection failed because nobody vouches for the server's certificate.

use std::error::Error as StdError;
use std::io;

/// Looks for rustls' verdict among the causes of `error`.
pub fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let wrapped = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>());
        if matches!(tls.or(inner.downcast_ref()), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = inner.source();
    }
    false
}
