from easymlserve import EasyMLServer, EasyMLService


class BasicCSVService(EasyMLService):
    """Returns nothing: the gallery is about the types."""

    def process(self, df):
        return {}


service = BasicCSVService()
server = EasyMLServer(service)


if __name__ == "__main__":
    server.deploy()
