use events::ChannelAccount;
use time::OffsetDateTime;

use crate::alipay::Alipay;
use crate::config::Fields;
use crate::standard::Standard;
use crate::stripe::Stripe;
use crate::wechatpay::WechatPay;
use crate::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer};

/// One account at one payment channel, with its keys.
#[derive(Debug)]
pub struct Account {
    name: ChannelAccount,
    channel: Channel,
}

/// The kinds of channels. Adding one is a variant here, an arm in each function below, and a file of its own.
#[derive(Debug)]
enum Channel {
    Alipay(Alipay),
    Standard(Standard),
    Stripe(Stripe),
    WechatPay(WechatPay),
}

impl Account {
    /// The values of `kind` in the channels file.
    pub(crate) const KINDS: &[&str] = &[Alipay::KIND, Standard::KIND, Stripe::KIND, WechatPay::KIND];

    /// Reads the account of this `kind` from its table; `None` if there is no such kind. Errors stay in `fields`.
    pub(crate) fn from_fields(kind: &str, name: ChannelAccount, fields: &mut Fields<'_>) -> Option<Self> {
        let channel = match kind {
            Alipay::KIND => Channel::Alipay(Alipay::from_fields(fields)),
            Standard::KIND => Channel::Standard(Standard::from_fields(fields)),
            Stripe::KIND => Channel::Stripe(Stripe::from_fields(fields)),
            WechatPay::KIND => Channel::WechatPay(WechatPay::from_fields(fields)),
            _ => return None,
        };
        Some(Self { name, channel })
    }

    /// The account's name in the channels file.
    pub const fn name(&self) -> &ChannelAccount {
        &self.name
    }

    /// The `kind` of its channel.
    pub const fn kind(&self) -> &'static str {
        match self.channel {
            Channel::Alipay(_) => Alipay::KIND,
            Channel::Standard(_) => Standard::KIND,
            Channel::Stripe(_) => Stripe::KIND,
            Channel::WechatPay(_) => WechatPay::KIND,
        }
    }

    /// Checks that the request is authentic and says what it states. `now` is the clock for its age.
    pub fn verify(
        &self,
        request: &CallbackRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, CallbackRefusal> {
        request.check()?;
        match &self.channel {
            Channel::Alipay(alipay) => alipay.verify(&self.name, request),
            Channel::Standard(standard) => standard.verify(&self.name, request, now),
            Channel::Stripe(stripe) => stripe.verify(&self.name, request, now),
            Channel::WechatPay(wechatpay) => wechatpay.verify(&self.name, request, now),
        }
    }

    /// The answer that the channel demands.
    pub fn answer(&self, outcome: &CallbackOutcome<'_>) -> ChannelAnswer {
        if let CallbackOutcome::Refused(refusal) = outcome
            && refusal.is_of_http()
        {
            return ChannelAnswer::refusing(refusal);
        }
        match &self.channel {
            Channel::Alipay(_) => Alipay::answer(outcome),
            Channel::Standard(_) => Standard::answer(outcome),
            Channel::Stripe(_) => Stripe::answer(outcome),
            Channel::WechatPay(_) => WechatPay::answer(outcome),
        }
    }
}
