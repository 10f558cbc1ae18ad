# A number at Twilio that asks sipagent about each call.
#
#   export TWILIO_ACCOUNT_SID=… TWILIO_AUTH_TOKEN=…
#   terraform init
#   terraform import twilio_api_accounts_incoming_phone_numbers.number PN…    # or terraform buys another one
#   terraform apply

terraform {
  required_version = ">= 1.3"
  required_providers {
    twilio = {
      source  = "twilio/twilio"
      version = "~> 0.18"
    }
  }
}

variable "public_url" {
  description = "carriers.public_url of the configuration, to the letter: Twilio signs the address as it stands here."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+$", var.public_url))
    error_message = "https, and nothing behind the host."
  }
}

variable "phone_number" {
  description = "+15550100100: a number that the account has."
  type        = string
}

variable "fallback_url" {
  description = "TwiML that Twilio runs when sipagent does not answer: dial a person, or say a sentence."
  type        = string
}

resource "twilio_api_accounts_incoming_phone_numbers" "number" {
  phone_number           = var.phone_number
  friendly_name          = "sipagent"
  voice_url              = "${var.public_url}/carriers/twilio/voice"
  voice_method           = "POST"
  voice_fallback_url     = var.fallback_url
  voice_fallback_method  = "POST"
  status_callback        = "${var.public_url}/carriers/twilio/status"
  status_callback_method = "POST"

  lifecycle {
    prevent_destroy = true # a number that is given back is gone
  }
}
