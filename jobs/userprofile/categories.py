"""The product category, from the words of the description: the first category that has one of them, else `other`."""

from pyspark.sql import Column
from pyspark.sql import functions as F

WORDS = {
    "christmas": "CHRISTMAS XMAS SANTA REINDEER SNOWMAN ADVENT",
    "bags": "BAG BAGS SHOPPER PURSE SUITCASE",
    "lights": "LIGHT LIGHTS CANDLE CANDLES LANTERN LAMP HOLDER",
    "kitchen": "CAKE CAKESTAND MUG MUGS CUP CUPS PLATE PLATES BOWL BOWLS TEA TEAPOT JAR JARS SPOON SPOONS KITCHEN LUNCH BAKING APRON",
    "stationery": "CARD CARDS WRAP PAPER NOTEBOOK PENCIL PENCILS TISSUES STICKERS CHALKBOARD",
    "toys": "TOY TOYS DOLL GAME PLAYHOUSE SKITTLES JIGSAW PUZZLE BLOCK BUILDING",
    "jewellery": "NECKLACE BRACELET EARRINGS RING BROOCH HAIRCLIP",
    "decoration": "DECORATION SIGN FRAME CLOCK HEART HEARTS ORNAMENT BUNTING MIRROR WICKER DOORMAT CUSHION",
}
CATEGORIES = [*WORDS, "other"]
PRODUCT_CODE = "^[0-9]{5}[A-Za-z]{0,2}$"


def category(description: Column) -> Column:
    letters = F.upper(F.coalesce(description, F.lit("")))
    chosen = F.lit("other")
    for name, members in reversed(WORDS.items()):
        # Not split into an array of words: that would be done again for each category.
        chosen = F.when(letters.rlike(f"(?<![A-Z])(?:{members.replace(' ', '|')})(?![A-Z])"), name).otherwise(chosen)
    return chosen
