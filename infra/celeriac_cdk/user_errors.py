"""The errors whose message is for the user: it names cause and cure, and a traceback would only hide it."""

from celeriac.model.errors import DeclarationError
from celeriac.model.extras import MissingExtraError
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.services import ServiceError
from celeriac_cdk.config import ConfigError

USER_ERRORS = (BundleError, ConfigError, DeclarationError, MissingExtraError, ServiceError)
