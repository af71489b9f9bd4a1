impl serde::Serialize for PayEvent {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.event_id.is_empty() {
            len += 1;
        }
        if self.r#type != 0 {
            len += 1;
        }
        if !self.merchant_id.is_empty() {
            len += 1;
        }
        if !self.order_no.is_empty() {
            len += 1;
        }
        if !self.pay_order_no.is_empty() {
            len += 1;
        }
        if self.version != 0 {
            len += 1;
        }
        if self.status != 0 {
            len += 1;
        }
        if self.purpose != 0 {
            len += 1;
        }
        if self.amount_minor != 0 {
            len += 1;
        }
        if !self.currency.is_empty() {
            len += 1;
        }
        if self.refunded_minor != 0 {
            len += 1;
        }
        if !self.channel.is_empty() {
            len += 1;
        }
        if !self.channel_trade_no.is_empty() {
            len += 1;
        }
        if self.paid_at.is_some() {
            len += 1;
        }
        if self.occurred_at.is_some() {
            len += 1;
        }
        if !self.notify_url.is_empty() {
            len += 1;
        }
        if !self.attach.is_empty() {
            len += 1;
        }
        if !self.subject.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("pay.v1.PayEvent", len)?;
        if !self.event_id.is_empty() {
            struct_ser.serialize_field("eventId", &self.event_id)?;
        }
        if self.r#type != 0 {
            let v = PayEventType::try_from(self.r#type)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.r#type)))?;
            struct_ser.serialize_field("type", &v)?;
        }
        if !self.merchant_id.is_empty() {
            struct_ser.serialize_field("merchantId", &self.merchant_id)?;
        }
        if !self.order_no.is_empty() {
            struct_ser.serialize_field("orderNo", &self.order_no)?;
        }
        if !self.pay_order_no.is_empty() {
            struct_ser.serialize_field("payOrderNo", &self.pay_order_no)?;
        }
        if self.version != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("version", ToString::to_string(&self.version).as_str())?;
        }
        if self.status != 0 {
            let v = PayOrderStatus::try_from(self.status)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.status)))?;
            struct_ser.serialize_field("status", &v)?;
        }
        if self.purpose != 0 {
            let v = Purpose::try_from(self.purpose)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.purpose)))?;
            struct_ser.serialize_field("purpose", &v)?;
        }
        if self.amount_minor != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("amountMinor", ToString::to_string(&self.amount_minor).as_str())?;
        }
        if !self.currency.is_empty() {
            struct_ser.serialize_field("currency", &self.currency)?;
        }
        if self.refunded_minor != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("refundedMinor", ToString::to_string(&self.refunded_minor).as_str())?;
        }
        if !self.channel.is_empty() {
            struct_ser.serialize_field("channel", &self.channel)?;
        }
        if !self.channel_trade_no.is_empty() {
            struct_ser.serialize_field("channelTradeNo", &self.channel_trade_no)?;
        }
        if let Some(v) = self.paid_at.as_ref() {
            struct_ser.serialize_field("paidAt", v)?;
        }
        if let Some(v) = self.occurred_at.as_ref() {
            struct_ser.serialize_field("occurredAt", v)?;
        }
        if !self.notify_url.is_empty() {
            struct_ser.serialize_field("notifyUrl", &self.notify_url)?;
        }
        if !self.attach.is_empty() {
            struct_ser.serialize_field("attach", &self.attach)?;
        }
        if !self.subject.is_empty() {
            struct_ser.serialize_field("subject", &self.subject)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for PayEvent {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "event_id",
            "eventId",
            "type",
            "merchant_id",
            "merchantId",
            "order_no",
            "orderNo",
            "pay_order_no",
            "payOrderNo",
            "version",
            "status",
            "purpose",
            "amount_minor",
            "amountMinor",
            "currency",
            "refunded_minor",
            "refundedMinor",
            "channel",
            "channel_trade_no",
            "channelTradeNo",
            "paid_at",
            "paidAt",
            "occurred_at",
            "occurredAt",
            "notify_url",
            "notifyUrl",
            "attach",
            "subject",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            EventId,
            Type,
            MerchantId,
            OrderNo,
            PayOrderNo,
            Version,
            Status,
            Purpose,
            AmountMinor,
            Currency,
            RefundedMinor,
            Channel,
            ChannelTradeNo,
            PaidAt,
            OccurredAt,
            NotifyUrl,
            Attach,
            Subject,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "eventId" | "event_id" => Ok(GeneratedField::EventId),
                            "type" => Ok(GeneratedField::Type),
                            "merchantId" | "merchant_id" => Ok(GeneratedField::MerchantId),
                            "orderNo" | "order_no" => Ok(GeneratedField::OrderNo),
                            "payOrderNo" | "pay_order_no" => Ok(GeneratedField::PayOrderNo),
                            "version" => Ok(GeneratedField::Version),
                            "status" => Ok(GeneratedField::Status),
                            "purpose" => Ok(GeneratedField::Purpose),
                            "amountMinor" | "amount_minor" => Ok(GeneratedField::AmountMinor),
                            "currency" => Ok(GeneratedField::Currency),
                            "refundedMinor" | "refunded_minor" => Ok(GeneratedField::RefundedMinor),
                            "channel" => Ok(GeneratedField::Channel),
                            "channelTradeNo" | "channel_trade_no" => Ok(GeneratedField::ChannelTradeNo),
                            "paidAt" | "paid_at" => Ok(GeneratedField::PaidAt),
                            "occurredAt" | "occurred_at" => Ok(GeneratedField::OccurredAt),
                            "notifyUrl" | "notify_url" => Ok(GeneratedField::NotifyUrl),
                            "attach" => Ok(GeneratedField::Attach),
                            "subject" => Ok(GeneratedField::Subject),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = PayEvent;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct pay.v1.PayEvent")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<PayEvent, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut event_id__ = None;
                let mut r#type__ = None;
                let mut merchant_id__ = None;
                let mut order_no__ = None;
                let mut pay_order_no__ = None;
                let mut version__ = None;
                let mut status__ = None;
                let mut purpose__ = None;
                let mut amount_minor__ = None;
                let mut currency__ = None;
                let mut refunded_minor__ = None;
                let mut channel__ = None;
                let mut channel_trade_no__ = None;
                let mut paid_at__ = None;
                let mut occurred_at__ = None;
                let mut notify_url__ = None;
                let mut attach__ = None;
                let mut subject__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::EventId => {
                            if event_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("eventId"));
                            }
                            event_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Type => {
                            if r#type__.is_some() {
                                return Err(serde::de::Error::duplicate_field("type"));
                            }
                            r#type__ = Some(map_.next_value::<PayEventType>()? as i32);
                        }
                        GeneratedField::MerchantId => {
                            if merchant_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("merchantId"));
                            }
                            merchant_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::OrderNo => {
                            if order_no__.is_some() {
                                return Err(serde::de::Error::duplicate_field("orderNo"));
                            }
                            order_no__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PayOrderNo => {
                            if pay_order_no__.is_some() {
                                return Err(serde::de::Error::duplicate_field("payOrderNo"));
                            }
                            pay_order_no__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Version => {
                            if version__.is_some() {
                                return Err(serde::de::Error::duplicate_field("version"));
                            }
                            version__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Status => {
                            if status__.is_some() {
                                return Err(serde::de::Error::duplicate_field("status"));
                            }
                            status__ = Some(map_.next_value::<PayOrderStatus>()? as i32);
                        }
                        GeneratedField::Purpose => {
                            if purpose__.is_some() {
                                return Err(serde::de::Error::duplicate_field("purpose"));
                            }
                            purpose__ = Some(map_.next_value::<Purpose>()? as i32);
                        }
                        GeneratedField::AmountMinor => {
                            if amount_minor__.is_some() {
                                return Err(serde::de::Error::duplicate_field("amountMinor"));
                            }
                            amount_minor__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Currency => {
                            if currency__.is_some() {
                                return Err(serde::de::Error::duplicate_field("currency"));
                            }
                            currency__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RefundedMinor => {
                            if refunded_minor__.is_some() {
                                return Err(serde::de::Error::duplicate_field("refundedMinor"));
                            }
                            refunded_minor__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Channel => {
                            if channel__.is_some() {
                                return Err(serde::de::Error::duplicate_field("channel"));
                            }
                            channel__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ChannelTradeNo => {
                            if channel_trade_no__.is_some() {
                                return Err(serde::de::Error::duplicate_field("channelTradeNo"));
                            }
                            channel_trade_no__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PaidAt => {
                            if paid_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("paidAt"));
                            }
                            paid_at__ = map_.next_value()?;
                        }
                        GeneratedField::OccurredAt => {
                            if occurred_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("occurredAt"));
                            }
                            occurred_at__ = map_.next_value()?;
                        }
                        GeneratedField::NotifyUrl => {
                            if notify_url__.is_some() {
                                return Err(serde::de::Error::duplicate_field("notifyUrl"));
                            }
                            notify_url__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Attach => {
                            if attach__.is_some() {
                                return Err(serde::de::Error::duplicate_field("attach"));
                            }
                            attach__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Subject => {
                            if subject__.is_some() {
                                return Err(serde::de::Error::duplicate_field("subject"));
                            }
                            subject__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(PayEvent {
                    event_id: event_id__.unwrap_or_default(),
                    r#type: r#type__.unwrap_or_default(),
                    merchant_id: merchant_id__.unwrap_or_default(),
                    order_no: order_no__.unwrap_or_default(),
                    pay_order_no: pay_order_no__.unwrap_or_default(),
                    version: version__.unwrap_or_default(),
                    status: status__.unwrap_or_default(),
                    purpose: purpose__.unwrap_or_default(),
                    amount_minor: amount_minor__.unwrap_or_default(),
                    currency: currency__.unwrap_or_default(),
                    refunded_minor: refunded_minor__.unwrap_or_default(),
                    channel: channel__.unwrap_or_default(),
                    channel_trade_no: channel_trade_no__.unwrap_or_default(),
                    paid_at: paid_at__,
                    occurred_at: occurred_at__,
                    notify_url: notify_url__.unwrap_or_default(),
                    attach: attach__.unwrap_or_default(),
                    subject: subject__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("pay.v1.PayEvent", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for PayEventType {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "PAY_EVENT_TYPE_UNSPECIFIED",
            Self::Success => "PAY_EVENT_TYPE_SUCCESS",
            Self::Failed => "PAY_EVENT_TYPE_FAILED",
            Self::Closed => "PAY_EVENT_TYPE_CLOSED",
            Self::Refunded => "PAY_EVENT_TYPE_REFUNDED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for PayEventType {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "PAY_EVENT_TYPE_UNSPECIFIED",
            "PAY_EVENT_TYPE_SUCCESS",
            "PAY_EVENT_TYPE_FAILED",
            "PAY_EVENT_TYPE_CLOSED",
            "PAY_EVENT_TYPE_REFUNDED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = PayEventType;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "PAY_EVENT_TYPE_UNSPECIFIED" => Ok(PayEventType::Unspecified),
                    "PAY_EVENT_TYPE_SUCCESS" => Ok(PayEventType::Success),
                    "PAY_EVENT_TYPE_FAILED" => Ok(PayEventType::Failed),
                    "PAY_EVENT_TYPE_CLOSED" => Ok(PayEventType::Closed),
                    "PAY_EVENT_TYPE_REFUNDED" => Ok(PayEventType::Refunded),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for PayOrderStatus {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "PAY_ORDER_STATUS_UNSPECIFIED",
            Self::NotCommit => "PAY_ORDER_STATUS_NOT_COMMIT",
            Self::WaitBuyerPay => "PAY_ORDER_STATUS_WAIT_BUYER_PAY",
            Self::TradeSuccess => "PAY_ORDER_STATUS_TRADE_SUCCESS",
            Self::TradeFailed => "PAY_ORDER_STATUS_TRADE_FAILED",
            Self::TradeClosed => "PAY_ORDER_STATUS_TRADE_CLOSED",
            Self::PartiallyRefunded => "PAY_ORDER_STATUS_PARTIALLY_REFUNDED",
            Self::TradeRefunded => "PAY_ORDER_STATUS_TRADE_REFUNDED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for PayOrderStatus {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "PAY_ORDER_STATUS_UNSPECIFIED",
            "PAY_ORDER_STATUS_NOT_COMMIT",
            "PAY_ORDER_STATUS_WAIT_BUYER_PAY",
            "PAY_ORDER_STATUS_TRADE_SUCCESS",
            "PAY_ORDER_STATUS_TRADE_FAILED",
            "PAY_ORDER_STATUS_TRADE_CLOSED",
            "PAY_ORDER_STATUS_PARTIALLY_REFUNDED",
            "PAY_ORDER_STATUS_TRADE_REFUNDED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = PayOrderStatus;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "PAY_ORDER_STATUS_UNSPECIFIED" => Ok(PayOrderStatus::Unspecified),
                    "PAY_ORDER_STATUS_NOT_COMMIT" => Ok(PayOrderStatus::NotCommit),
                    "PAY_ORDER_STATUS_WAIT_BUYER_PAY" => Ok(PayOrderStatus::WaitBuyerPay),
                    "PAY_ORDER_STATUS_TRADE_SUCCESS" => Ok(PayOrderStatus::TradeSuccess),
                    "PAY_ORDER_STATUS_TRADE_FAILED" => Ok(PayOrderStatus::TradeFailed),
                    "PAY_ORDER_STATUS_TRADE_CLOSED" => Ok(PayOrderStatus::TradeClosed),
                    "PAY_ORDER_STATUS_PARTIALLY_REFUNDED" => Ok(PayOrderStatus::PartiallyRefunded),
                    "PAY_ORDER_STATUS_TRADE_REFUNDED" => Ok(PayOrderStatus::TradeRefunded),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for Purpose {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "PURPOSE_UNSPECIFIED",
            Self::Order => "PURPOSE_ORDER",
            Self::External => "PURPOSE_EXTERNAL",
            Self::Recharge => "PURPOSE_RECHARGE",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for Purpose {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "PURPOSE_UNSPECIFIED",
            "PURPOSE_ORDER",
            "PURPOSE_EXTERNAL",
            "PURPOSE_RECHARGE",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = Purpose;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "PURPOSE_UNSPECIFIED" => Ok(Purpose::Unspecified),
                    "PURPOSE_ORDER" => Ok(Purpose::Order),
                    "PURPOSE_EXTERNAL" => Ok(Purpose::External),
                    "PURPOSE_RECHARGE" => Ok(Purpose::Recharge),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
